"""Message content as DATA carries it (RFC 5321 §4.5.2). The dot that ends it is not part of it."""

#: RFC 5321 §4.5.3.1.6, without the CRLF.
MAX_LINE_OCTETS = 998


class UnwritableContent(Exception):
    """No SMTP server has to take this message."""


def prepare_content(content: bytes) -> tuple[bytes, int]:
    """Content that nobody has vouched for: CRLF after each line, dots doubled at line starts.

    Beside it the number of its octets before dots were doubled.

    SECURITY: a server that takes a bare LF or CR for a line end could read a second message in it
    (CVE-2023-51764 and its kin). What is not clean is mended here rather than trusted.

    Raises:
        UnwritableContent: a line is too long; breaking it would change what was signed.
    """
    pairs = content.count(b"\r\n")
    if content.count(b"\n") != pairs or content.count(b"\r") != pairs:
        content = b"\r\n".join(content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    if max(map(len, content.split(b"\r\n"))) > MAX_LINE_OCTETS:
        raise UnwritableContent(f"a line of the message is over {MAX_LINE_OCTETS} octets")
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed, len(content)
