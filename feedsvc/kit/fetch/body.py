"""Takes in the body of an answer within bounds, before and after it is inflated."""

import zlib
from collections.abc import AsyncIterable

from feedsvc.errors import FetchFailed

# A body that cannot be made smaller grows a little by being put into gzip's frame.
_FRAME_BYTES = 4096
#: gzip files may follow one another (RFC 1952 §2.2); more than these say nothing but "wait".
_MAX_MEMBERS = 64
_CODINGS = {"": False, "identity": False, "gzip": True, "x-gzip": True}


async def read_body(chunks: AsyncIterable[bytes], coding: str, most_bytes: int) -> bytes:
    """The body, inflated where it came as gzip.

    SECURITY: 50 MB of zeros are 48 KB of gzip. What is inflated is counted while it grows, and
    no more than `most_bytes` of it is ever in memory.

    Args:
        chunks: as they come.
        coding: the value of Content-Encoding.
        most_bytes: that the body may have.

    Raises:
        FetchFailed: it is larger, broken, or in a coding that was not asked for.
    """
    is_gzip = _CODINGS.get(coding.strip().lower())
    if is_gzip is None:
        raise FetchFailed(f"the answer is coded as {coding[:40]!r}, which was not asked for")
    inflate = _Gzip(most_bytes) if is_gzip else None
    parts: list[bytes] = []
    came = size = 0
    async for chunk in chunks:
        came += len(chunk)
        if came > most_bytes + _FRAME_BYTES:
            raise _too_large(most_bytes)
        part = inflate.feed(chunk) if inflate else chunk
        size += len(part)
        if size > most_bytes:
            raise _too_large(most_bytes)
        parts.append(part)
    if inflate and came and not inflate.is_complete:
        raise FetchFailed("the answer's gzip ends too early")
    return b"".join(parts)


def _too_large(most_bytes: int) -> FetchFailed:
    return FetchFailed(f"the answer has more than {most_bytes} bytes")


class _Gzip:
    """Inflates one gzip member after another, up to a limit for all of them together."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._members = 0
        self._member = zlib.decompressobj(wbits=31)

    @property
    def is_complete(self) -> bool:
        return self._member.eof

    def feed(self, data: bytes) -> bytes:
        out = b""
        while data:
            if self._member.eof:
                self._members += 1
                if self._members >= _MAX_MEMBERS:
                    raise FetchFailed("the answer's gzip has too many parts")
                self._member = zlib.decompressobj(wbits=31)
            try:
                part = self._member.decompress(data, self._left + 1)
            except zlib.error as error:
                raise FetchFailed("the answer's gzip is broken") from error
            out += part
            self._left -= len(part)
            if self._left < 0:
                return out
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        return out
