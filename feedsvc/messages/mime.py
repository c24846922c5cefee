"""The body: plain text and HTML as multipart/alternative, in base64 (RFC 2045, 2046).

Base64 keeps lines short whatever an article holds, costs Chinese least, and no relay rewrites it.
"""

from base64 import b32encode
from binascii import b2a_base64
from collections.abc import Iterable
from hashlib import sha256

_SOURCE_BYTES_PER_LINE = 57  # 76 characters of base64, RFC 2045 §6.8


def boundary_for(message_id: str) -> str:
    """The boundary of a message: the same for the same id, and impossible in base64 (`=_`)."""
    digest = sha256(b"boundary " + message_id.encode()).digest()
    return "=_" + b32encode(digest[:20]).decode().lower()


def build_message(headers: Iterable[bytes], text: str, html: str, boundary: str) -> bytes:
    """A whole message.

    Args:
        headers: fields as headers.py writes them, without those that describe the body.
    """
    return b"".join(
        (
            *headers,
            opening(boundary),
            encode_lines(canonical(text)),
            between(boundary),
            encode_lines(canonical(html)),
            closing(boundary),
        )
    )


def opening(boundary: str) -> bytes:
    """Header fields of the body, the end of the header, and the start of the plain text part."""
    return (
        b"MIME-Version: 1.0\r\n"
        b'Content-Type: multipart/alternative;\r\n boundary="%b"\r\n\r\n'
        b"--%b\r\n%b" % (boundary.encode(), boundary.encode(), _part_headers(b"plain"))
    )


def between(boundary: str) -> bytes:
    """The end of the plain text part and the start of the HTML part."""
    return b"--%b\r\n%b" % (boundary.encode(), _part_headers(b"html"))


def closing(boundary: str) -> bytes:
    """The end of the body."""
    return b"--%b--\r\n" % boundary.encode()


def canonical(text: str) -> bytes:
    """UTF-8 with CRLF at line ends, which base64 then keeps (RFC 2045 §6.8)."""
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode()


def encode_lines(data: bytes) -> bytes:
    """Base64 in lines of at most 76 characters, each ended by CRLF."""
    step = _SOURCE_BYTES_PER_LINE
    lines = [
        b2a_base64(data[start : start + step], newline=False) for start in range(0, len(data), step)
    ]
    lines.append(b"")
    return b"\r\n".join(lines)


def whole_lines(data: bytes) -> int:
    """How many bytes from the start fill whole base64 lines, and can be encoded on their own."""
    return len(data) - len(data) % _SOURCE_BYTES_PER_LINE


def _part_headers(subtype: bytes) -> bytes:
    return (
        b"Content-Type: text/%b; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" % subtype
    )
