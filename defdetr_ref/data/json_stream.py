"""A json file read piece by piece, so that a large one is never in memory as a whole."""

import json
import re
from collections.abc import Callable, Iterator
from io import TextIOBase
from typing import Any

PIECE = 2**18  # characters read at once
CUT_OFF = len("e+")  # what may stand, unread, between the whole part of a number and the end of a piece
WHITE_SPACE = re.compile(r"[ \t\n\r]*")


class JsonStream:
    """Walks through the text of one json value. Each method raises ValueError where the text is not json."""

    def __init__(self, file: TextIOBase) -> None:
        self._file = file
        self._decoder = json.JSONDecoder()
        self._text, self._at = "", 0  # what was read and is not yet forgotten, and how far it is consumed

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._read_on():
                    raise
                continue
            if end + CUT_OFF < len(self._text) or not self._read_on():
                self._at = end
                return value

    def items(self) -> Iterator[Any]:
        """The values of an array, one by one; it begins here."""
        return self._between("[", self.value, "]")

    def keys(self) -> Iterator[str]:
        """The keys of an object that begins here; the caller consumes the value after each."""
        return self._between("{", self._key, "}")

    def _between(self, first: str, read: Callable[[], Any], last: str) -> Iterator[Any]:
        """What `read` gives between two brackets, each time after a comma but the first."""
        self._take(first)
        if self.peek() != last:
            yield read()
            while self.peek() == ",":
                self._take(",")
                yield read()
        self._take(last)

    def end(self) -> None:
        """Raises ValueError if anything follows."""
        if self.peek():
            raise ValueError(f"there is more after its end, from {self._text[self._at :][:20]!r}")

    def peek(self) -> str:
        """The next character that is no white space, which stays; "" at the end of the file."""
        while True:
            self._at = WHITE_SPACE.match(self._text, self._at).end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_on():
                return ""

    def _key(self) -> str:
        key = self.value()
        if not isinstance(key, str):
            raise ValueError(f"a key is {str(key)[:20]}, which is no string")
        self._take(":")
        return key

    def _take(self, character: str) -> None:
        """Consume the next character, which must be this one."""
        found = self.peek()
        if found != character:
            raise ValueError(f"{character} is missing before {found!r}" if found else "its end is missing")
        self._at += 1

    def _read_on(self) -> bool:
        """Read more and forget what was consumed; False at the end of the file. Long values make long pieces, so that
        none is parsed from its beginning many times.
        """
        rest = self._text[self._at :]
        piece = self._file.read(max(PIECE, len(rest)))
        if piece:
            self._text, self._at = rest + piece, 0
        return bool(piece)
