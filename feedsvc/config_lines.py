"""On which line of a TOML document each key stands, so that mistakes can be pointed at.

Reads documents that the TOML parser has already accepted; it decides nothing about values.
"""

import re
import tomllib
from collections.abc import Mapping

#: A key's way from the top: names, and positions (from 0) in arrays.
KeyPath = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\r\n]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\]|\\.)*"'
    r"|'[^']*'",
    re.DOTALL,
)


def find_lines(text: str) -> Mapping[KeyPath, int]:
    """Line (from 1) of every table, key and array element of a valid document."""
    return _Finder(text).run()


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """Line of a key; of the table it would stand in when it is not there; else 1."""
    for length in range(len(path), 0, -1):
        if (line := lines.get(path[:length])) is not None:
            return line
    return 1


class _Finder:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        #: Elements so far of each array of tables.
        self.counts: dict[KeyPath, int] = {}

    def run(self) -> Mapping[KeyPath, int]:
        table: KeyPath = ()
        while True:
            self._skip(_BLANK)
            if self.at >= len(self.text):
                return self.lines
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        """`[a.b]` or `[[a.b]]`; the path that the keys below it belong to."""
        line = self._line()
        brackets = 2 if self.text.startswith("[[", self.at) else 1
        self.at += brackets
        path: KeyPath = ()
        names = self._names()
        for name in names[:-1]:
            path = self._newest((*path, name))
        path = (*path, names[-1])
        self.at += brackets
        if brackets == 2:
            self.lines.setdefault(path, line)
            self.counts[path] = self.counts.get(path, 0) + 1
            path = self._newest(path)
        self._mark(path, line)
        return path

    def _newest(self, path: KeyPath) -> KeyPath:
        return (*path, self.counts[path] - 1) if path in self.counts else path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = (*table, *self._names())
        self._mark(path, line)
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        match self._peek():
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._skip(_STRING)
            case _:
                self._skip(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        self.at += 1
        position = 0
        while self._next_is_not("]"):
            element = (*path, position)
            self._mark(element, self._line())
            self._value(element)
            position += 1

    def _inline_table(self, path: KeyPath) -> None:
        self.at += 1
        while self._next_is_not("}"):
            self._pair(path)

    def _next_is_not(self, end: str) -> bool:
        """Go to the next element; at `end`, go past it and say no."""
        self._skip(_BLANK)
        if self._peek() == ",":
            self.at += 1
            self._skip(_BLANK)
        if self._peek() == end:
            self.at += 1
            return False
        return True

    def _names(self) -> tuple[str, ...]:
        """A dotted key; stands behind it afterwards."""
        names = []
        while True:
            self._skip(_SPACE)
            start = self.at
            if self._peek() in "\"'":
                self._skip(_STRING)
                quoted = self.text[start : self.at]
                names.append(str(tomllib.loads(f"key = {quoted}")["key"]))
            else:
                self._skip(_BARE_KEY)
                names.append(self.text[start : self.at])
            self._skip(_SPACE)
            if self._peek() != ".":
                return tuple(names)
            self.at += 1

    def _mark(self, path: KeyPath, line: int) -> None:
        """Note a key, and the tables that a dotted key makes on its way."""
        for length in range(1, len(path)):
            self.lines.setdefault(path[:length], line)
        self.lines[path] = line

    def _line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if match := pattern.match(self.text, self.at):
            self.at = match.end()
