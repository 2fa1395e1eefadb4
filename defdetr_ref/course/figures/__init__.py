"""What the notebooks draw and print, as tested functions: one module for each lesson."""

import inspect
from typing import Any


def show_source(thing: Any) -> None:
    """Print the package's own source of a function or class, so that no notebook carries a copy of it."""
    print(inspect.getsource(thing))
