"""Faults on purpose: runs that are killed or interrupted, disks that are full or read-only, bits that flip, a process
that stops. `make faults`, or `python -m tests.faults --help`. Everything random comes from a seed."""
