"""Timed comparisons of the operator and of whole detectors; never part of the tests. `make bench`, or

python -m benchmarks --help
"""
