"""The body: plain text and HTML as multipart/alternative, in base64 (RFC 2045, 2046).

Base64 keeps lines short whatever an article holds, costs Chinese least, and no relay rewrites it.
"""

import re
from binascii import b2a_base64
from hashlib import sha256

MIME_VERSION = b"MIME-Version: 1.0\r\n"
_PART = b"Content-Type: text/%b; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
_PLAIN, _HTML = _PART % b"plain", _PART % b"html"
_LINE = 76  # RFC 2045 §6.8
# A line feed without its carriage return or the other way round, a dot first, a line too long.
_UNREADY = re.compile(rb"[^\r]\n|\r(?!\n)|\n\.|[^\r\n]{999}")
_UNRELAXED = re.compile(rb"\t|  | \r\n")


def boundary_for(message_id: str) -> str:
    """The boundary of a message: the same for the same id, and impossible in base64 (`=_`)."""
    return f"=_{sha256(b'boundary ' + message_id.encode()).hexdigest()[:40]}"


def content_type_field(boundary: str) -> bytes:
    """The header field that says what the body is."""
    return b'Content-Type: multipart/alternative;\r\n boundary="%b"\r\n' % boundary.encode()


def frame(boundary: str) -> tuple[bytes, bytes, bytes]:
    """What stands before the plain text, between it and the HTML, and after that."""
    mark = boundary.encode()
    return b"--%b\r\n%b" % (mark, _PLAIN), b"--%b\r\n%b" % (mark, _HTML), b"--%b--\r\n" % mark


def with_crlf(text: str) -> str:
    """Text with CRLF at line ends, which base64 then keeps (RFC 2045 §6.8)."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


def encode_lines(data: bytes) -> bytes:
    """Base64 in lines of at most 76 characters, each ended by CRLF."""
    encoded = b2a_base64(data, newline=False)
    lines = [encoded[start : start + _LINE] for start in range(0, len(encoded), _LINE)]
    lines.append(b"")
    return b"\r\n".join(lines)


def is_wire_ready(content: bytes) -> bool:
    """Whether SMTP carries it as it is: ASCII, lines ended by CRLF alone and of at most 998
    octets, none beginning with a dot (RFC 5321 §4.5.2, §4.5.3.1.6).
    """
    return content.isascii() and not _UNREADY.search(b"\n" + content) and content[-2:] == b"\r\n"


def is_relaxed(content: bytes) -> bool:
    """Whether relaxed canonicalisation leaves these lines of a body as they are (RFC 6376 §3.4.4).

    It may stand before other lines, so an empty one at its end is allowed.
    """
    return not _UNRELAXED.search(content)
