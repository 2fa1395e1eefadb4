"""What "Build it whole" prints: whose each part of the detector is."""

from collections.abc import Callable, Mapping

from defdetr_ref.course import exercises


def parts_table(parts: Mapping[str, Callable], package: Mapping[str, Callable]) -> str:
    """A row for each part: whose it is, and whether it passes the check of its exercise.

    parts: exercise's name → the part. package: what stands for those of other lessons that nobody brought along.
    """
    rows = [("part", "whose", "equal to the package's")]
    for name, part in parts.items():
        exercise = exercises.find(name)
        if part in (exercise.solution, package.get(name)):
            rows.append((name, "the package's", "it is the package's"))
        else:
            rows.append((name, "yours", verdict(exercise, part)))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{name:{widths[0]}}  {whose:{widths[1]}}  {equal}" for name, whose, equal in rows)


def verdict(exercise: exercises.Exercise, part: Callable) -> str:
    """Whether the part passes the check, in words."""
    try:
        exercises.examine(exercise, part)
    except NotImplementedError:
        return "not written yet"
    except exercises.WrongAnswer as wrong:
        return f"no: {wrong}"
    return "yes"
