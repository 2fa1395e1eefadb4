"""Experiments that a command repeats, and whose results the notebooks read.

    defdetr study convergence      DETR against Deformable DETR, by epoch and by object size       notebook 11
    defdetr study cost             FLOPs, bytes and time of deformable attention                   notebook 12

Results are JSON files, with settings, seeds, versions, machine and times in each of them.
"""
