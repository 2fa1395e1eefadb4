"""How far one has come: a table of the whole course, and a card at the top of each notebook."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape

from defdetr_ref.course.lessons import LESSONS, Lesson
from defdetr_ref.explain.style import PAGE_INK, PAGE_LINE, PAGE_PLATE

CARD = (
    f'<div style="border: 1px solid {PAGE_LINE}; border-left: .4em solid #0072B2; border-radius: .4em; '
    f"padding: .5em .9em; background: {PAGE_PLATE}; color: {PAGE_INK}; max-width: 60em; "
    'font: 14px/1.6 system-ui, sans-serif">'
)


@dataclass(frozen=True, repr=False)
class Progress:
    """Which exercises are solved, lesson by lesson. A notebook shows it as a table."""

    exercises: Mapping[str, tuple[str, ...]]  # of each lesson's number, in their order
    solved: frozenset[str]
    trouble: str = ""  # why the record cannot be read, in one sentence

    def open(self, number: str) -> list[str]:
        """The exercises of a lesson that are not solved yet."""
        return [name for name in self.exercises.get(number, ()) if name not in self.solved]

    def next_lesson(self, after: str = "") -> Lesson | None:
        """The first one with something to solve behind lesson `after`, else from the start; None if all is solved."""
        todo = [lesson for lesson in LESSONS if lesson.number != after and self.open(lesson.number)]
        behind = [lesson for lesson in todo if lesson.number > after]
        return next(iter(behind or todo), None)

    def counted(self) -> str:
        """ "5 of 38 exercises solved"."""
        names = [name for group in self.exercises.values() for name in group]
        return f"{sum(name in self.solved for name in names)} of {len(names)} exercises solved"

    def __repr__(self) -> str:
        rows = []
        for lesson in LESSONS:
            names, todo = self.exercises.get(lesson.number, ()), self.open(lesson.number)
            still = f"   open: {', '.join(todo)}" if todo else ""
            rows.append(f"{lesson.number} {lesson.title:<38}{len(names) - len(todo)} of {len(names)}{still}")
        return "\n".join([*rows, *self._closing(lambda lesson: f"{lesson.number} · {lesson.title}")])

    def _repr_html_(self) -> str:
        rows = []
        for lesson in LESSONS:
            names = self.exercises.get(lesson.number, ())
            todo = self.open(lesson.number)
            cells = (link(lesson), f"{len(names) - len(todo)} of {len(names)}", " ".join(map(self.mark, names)))
            rows.append("<tr>" + "".join(f'<td style="text-align: left">{cell}</td>' for cell in cells) + "</tr>")
        return f"{CARD}<table>{''.join(rows)}</table>{'<br>'.join(self._closing(link))}</div>"

    def _closing(self, named: Callable[[Lesson], str]) -> list[str]:
        following = self.next_lesson()
        last = f"Next: {named(following)}" if following else "The whole course is solved."
        return [*([self.trouble] if self.trouble else []), f"{self.counted()}. {last}"]

    def mark(self, name: str) -> str:
        """The name of an exercise behind a sign that says whether it is solved."""
        return f"{'✓' if name in self.solved else '○'}&nbsp;{escape(name)}"


@dataclass(frozen=True, repr=False)
class Card:
    """What stands at the top of a lesson: how long it takes, which of its exercises are solved, what comes next."""

    lesson: Lesson
    progress: Progress

    def __repr__(self) -> str:
        lesson, todo = self.lesson, self.progress.open(self.lesson.number)
        solved = [name for name in self.progress.exercises.get(lesson.number, ()) if name not in todo]
        lines = [f"{lesson.number} · {lesson.title}: {times(lesson)}"]
        lines += [f"solved: {', '.join(solved)}"] if solved else []
        lines += [f"open: {', '.join(todo)}"] if todo else []
        following = self.progress.next_lesson(lesson.number)
        lines += [f"next lesson: {following.number} · {following.title}"] if following else []
        return "\n".join([*lines, self.in_all(), *filter(None, [self.progress.trouble])])

    def _repr_html_(self) -> str:
        lesson, progress = self.lesson, self.progress
        names = progress.exercises.get(lesson.number, ())
        following = progress.next_lesson(lesson.number)
        lines = [
            f"<b>{lesson.number} · {escape(lesson.title)}</b> — {times(lesson)}",
            "Exercises: " + " &nbsp; ".join(map(progress.mark, names)),
            self.in_all() + (f" · next lesson: {link(following)}" if following else ""),
            *([escape(progress.trouble)] if progress.trouble else []),
        ]
        return f"{CARD}{'<br>'.join(lines)}</div>"

    def in_all(self) -> str:
        """What is solved in the whole course. Not of how many, or each new exercise would change every card."""
        count = len(self.progress.solved)
        return f"Solved in the whole course so far: {count} (exercises.progress() lists them)"


def times(lesson: Lesson) -> str:
    """How long a lesson takes."""
    return f"about {lesson.minutes} minutes to work through, {lesson.seconds} seconds to run"


def link(lesson: Lesson) -> str:
    """A link to the notebook in the folder of all notebooks; the site makes it one to its page."""
    return f'<a href="{lesson.file}.ipynb">{lesson.number} · {escape(lesson.title)}</a>'
