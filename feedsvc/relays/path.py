"""Addresses as they are written into SMTP commands; refuses what could mean something else."""

import re

from feedsvc.errors import InvalidAddress

#: RFC 5321 §4.5.3.1.1 and .3: octets of a local part, and of a path with its angle brackets.
_MAX_LOCAL_OCTETS = 64
_MAX_PATH_OCTETS = 256
#: RFC 5321 §4.1.2 Dot-string, with RFC 6531 §3.3 for what is not ASCII (no control, no blank).
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\U0010ffff-]+"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\]|\[IPv6:[0-9A-Fa-f:.]+\]")


def encode_return_path(address: str) -> bytes:
    """Like `encode_path`; the empty address is the null return path. Raises InvalidAddress."""
    return encode_path(address) if address else b"<>"


def encode_path(address: str) -> bytes:
    """The octets of `<address>` on the wire, equal to the address byte for byte.

    The domain must be ASCII (A-labels).

    Raises:
        InvalidAddress: anything but a dot-string, an `@` and a host name: quotes, comments, lists,
            routes, blanks and controls are read differently by different servers.
    """
    # SECURITY: no quoting and no trimming here; an address that would need it is not written.
    local, at, domain = address.rpartition("@")
    if not at or not _LOCAL.fullmatch(local) or not local.isprintable():
        raise InvalidAddress("the part before the @ cannot be written in SMTP")
    if not _DOMAIN.fullmatch(domain):
        raise InvalidAddress("the part after the @ is not a host name")
    try:
        path = f"<{address}>".encode()
    except UnicodeEncodeError as error:
        raise InvalidAddress("the part before the @ is not text") from error
    if len(local.encode()) > _MAX_LOCAL_OCTETS or len(path) > _MAX_PATH_OCTETS:
        raise InvalidAddress("longer than SMTP allows")
    return path
