"""SMTP replies as they come off the wire, whole or in pieces (RFC 5321 §4.2). Knows no meanings."""

from typing import NamedTuple

#: Characters of one line. RFC 5321 §4.5.3.1.5 allows 512 octets; some servers say more.
MAX_LINE_LENGTH = 8192
#: Characters of one reply with all its lines.
MAX_REPLY_LENGTH = 65536
_CODES = {str(code): code for code in range(200, 600)}


class MalformedReply(Exception):
    """What came is no SMTP reply, or has no end; what follows cannot be told apart."""


class Reply(NamedTuple):
    """A code, and the text of all lines joined by line feeds; an enhanced code stays in it."""

    code: int
    text: str


class ReplyParser:
    """Takes octets as they come and gives whole replies."""

    __slots__ = ("_code", "_length", "_lines", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        #: Of the reply that has begun; None before its first line.
        self._code: int | None = None
        self._lines: list[str] = []
        self._length = 0

    @property
    def is_between(self) -> bool:
        """Nothing of a further reply has come."""
        return not self._rest and self._code is None

    def feed(self, data: bytes, replies: list[Reply]) -> None:
        """Add the replies that these octets complete.

        Raises:
            MalformedReply: those before it have been added; the session cannot go on.
        """
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        # Decoded once and not line by line: this is done for every message. What is not UTF-8 is
        # kept for whoever can tell what it is.
        for line in whole.decode("utf-8", "surrogateescape").split("\n") if newline else ():
            code, mark = _CODES.get(line[:3]), line[3:4]
            # QUIRK: a bare LF ends a line too, and some servers leave the blank away.
            if code is None or mark not in " -\r" or len(line) > MAX_LINE_LENGTH:
                raise MalformedReply(f"not an SMTP reply: {line[:80]!r}")
            if mark != "-" and self._code is None:
                replies.append(Reply(code, line[4:].strip()))
            else:
                self._continue(code, line, replies, is_last=mark != "-")
        if len(self._rest) > MAX_LINE_LENGTH:
            raise MalformedReply("a line of a reply has no end")

    def _continue(self, code: int, line: str, replies: list[Reply], *, is_last: bool) -> None:
        if self._code not in (None, code):
            raise MalformedReply(f"a reply begins with {self._code} and goes on with {code}")
        self._code = code
        self._lines.append(line[4:].strip())
        self._length += len(line)
        if self._length > MAX_REPLY_LENGTH:
            raise MalformedReply("a reply has no end")
        if is_last:
            replies.append(Reply(code, "\n".join(self._lines)))
            self._code, self._lines, self._length = None, [], 0
