"""Ten bugs to find, and what each of them does to a detector that trains: notebook 16 shows the symptoms.

    with planted("labels off by one"):
        train(…)

`bugs.py` plants them, `images.py` holds what is trained on, `runs.py` trains and notes the symptoms, `symptoms.py` says
what is noted. The results lie in docs/studies/bugs/, a file for each run.
"""
