"""The notebooks' short name of `defdetr_ref.course.exercises`: the same module, importable in both ways."""

import sys

from defdetr_ref.course import exercises

sys.modules[__name__] = exercises
