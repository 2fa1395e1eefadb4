"""Mutation testing: the package is broken on purpose, a little at a time, and its direct tests have to notice.

`make mutants` takes a seeded sample of small changes (`operators.py`) of the modules in `rooms.py`, runs each in a copy
of the tree (`running.py`) against the tests of that module alone, and names every change that no test noticed. Tests
that compare whole models with other implementations say that something is wrong; these say what.
"""
