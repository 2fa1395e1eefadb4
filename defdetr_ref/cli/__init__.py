"""The command line, `defdetr COMMAND`:
`draw · train · eval · detect · convert · export · demo · lab · course · grade · study · zoo`.

What the user can put right (a missing file, a wrong value) is told in one line, with exit code 2; `--debug` shows
where it came from.
"""

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

from defdetr_ref.cli import (
    check_data,
    convert,
    course,
    demo,
    detect,
    draw,
    evaluate,
    export,
    grade,
    lab,
    study,
    train,
    zoo,
)
from defdetr_ref.cli.common import is_main_process
from defdetr_ref.cli.spelling import spelled
from defdetr_ref.training.interruption import interrupts_remembered

COMMANDS = {
    "draw": draw,
    "check-data": check_data,
    "train": train,
    "eval": evaluate,
    "detect": detect,
    "convert": convert,
    "export": export,
    "demo": demo,
    "lab": lab,
    "course": course,
    "grade": grade,
    "study": study,
    "zoo": zoo,
}

USER_ERROR = 2  # also argparse's own
INTERRUPTED = 130  # the shells' code for Ctrl-C


class UsageError(ValueError):
    """The command line itself is wrong."""


class OneLineParser(argparse.ArgumentParser):
    """argparse, but its complaints are one line like all the others, without the usage in front."""

    def error(self, message: str) -> NoReturn:
        """Raises UsageError instead of leaving the program."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def build_parser() -> argparse.ArgumentParser:
    """One subparser for each command; each command's module adds its own options."""
    parser = OneLineParser(prog="defdetr", description="Deformable DETR: draw data, train, evaluate, detect, learn.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = module.__doc__.splitlines()[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.add_options(command)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(run=module.run)
    return parser


def print_what_can_be_printed() -> None:
    """A pipe may know few letters (on Windows, those of a code page); others are escaped and end no run of hours."""
    if hasattr(sys.stdout, "reconfigure"):  # whatever stands in for it may have no such thing
        sys.stdout.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def told_by_the_package() -> Iterator[None]:
    """What the package has to say beside results, boxes that are left out for one, as lines of the output. Of several
    processes under torchrun the first one says it.
    """
    logger, handler = logging.getLogger("defdetr_ref"), logging.StreamHandler(sys.stdout)
    logger.setLevel(logging.INFO if is_main_process() else logging.ERROR)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: the command's own if it has one."""
    argv = sys.argv[1:] if argv is None else list(argv)
    print_what_can_be_printed()
    args = argparse.Namespace()
    try:
        build_parser().parse_args(argv, args)
        with told_by_the_package(), interrupts_remembered():
            return args.run(args) or 0
    except KeyboardInterrupt as error:
        if is_main_process():
            print("defdetr:", spelled(str(error), args) or "interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more on leaving
    except (ValueError, OSError, ImportError, ArithmeticError) as error:
        if "--debug" in argv:
            raise
        print("defdetr:", spelled(" ".join(str(error).split()), args), file=sys.stderr)
        return USER_ERROR
    return 0
