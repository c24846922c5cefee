"""A part of a mail in base64: what a cohort shares is encoded once, values in windows between.

Base64 makes four characters of three bytes, so the encoding of a static segment depends only on
where it begins modulo three. A window takes what the segment before left over, the value, and as
many bytes of the next segment as fill the last group of three; it is written on lines of its own,
which may be short (RFC 2045 §6.8 has only a longest line). What follows is one of three encodings
of the segment, each made when it is first needed. No blank is added and no padding stands inside:
the part decodes to the text as it would be for that person alone.
"""

from collections.abc import Mapping

from feedsvc.messages.mime import encode_lines, with_crlf
from feedsvc.messages.splice import cut_at_slots

#: A segment shorter than a line is not worth keeping encoded; it joins the window.
_SHORT_BYTES = 57


class Part:
    """One part of a cohort's mail, `text` with slots. May be used by several threads at once.

    Raises:
        MessageUnbuildable: it has a marker that belongs to no slot.
    """

    def __init__(self, text: str) -> None:
        static, names = cut_at_slots(with_crlf(text))
        #: Names of the slots that need a value.
        self.slots = frozenset(names)
        self._pieces = [
            (name, _Segment(between.encode(), is_last=number == len(names)))
            for number, (name, between) in enumerate(zip(["", *names], static, strict=True))
        ]

    def encode(self, values: Mapping[str, bytes]) -> list[bytes]:
        """The base64 lines of the part for one person, in pieces.

        Args:
            values: one for each of `slots`, as the bytes to be written.
        """
        lines: list[bytes] = []
        window = b""
        for name, segment in self._pieces:
            if name:
                window += values[name]
            if segment.is_short:
                window += segment.content
                continue
            missing = -len(window) % 3
            static, left = segment.encoded(missing)
            lines += encode_lines(window + segment.content[:missing]), static
            window = left
        lines.append(encode_lines(window))
        return lines


class _Segment:
    """Text between two slots, or at an end."""

    __slots__ = ("_encoded", "_is_last", "content", "is_short")

    def __init__(self, content: bytes, *, is_last: bool) -> None:
        self.content, self._is_last = content, is_last
        self.is_short = len(content) < _SHORT_BYTES
        self._encoded: list[tuple[bytes, bytes] | None] = [None, None, None]

    def encoded(self, start: int) -> tuple[bytes, bytes]:
        """The lines from byte `start` (0 to 2) on, and the bytes left over for the next window."""
        known = self._encoded[start]
        if known is None:
            end = len(self.content)
            if not self._is_last:
                end -= (end - start) % 3
            # Two threads that do this at once write the same.
            known = encode_lines(self.content[start:end]), self.content[end:]
            self._encoded[start] = known
        return known
