"""Header fields as bytes (RFC 5322, RFC 2047), each ending in CRLF.

All are ASCII but one: an address whose local part is not is written as it is (RFC 6532 §3.2).

QUIRK: the standard library's serialiser turns a long List-Unsubscribe into encoded-words
(CPython #85725) and encodes the domain of an address; both make the header useless. Hence our own,
in which each kind of field has its one way of being written.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from unicodedata import category

import idna

from feedsvc.errors import MessageUnbuildable

_LINE = 78  # RFC 5322 §2.1.1, without CRLF
_LINE_WITH_ENCODED_WORD = 76  # RFC 2047 §2
_LINE_MAX = 998
# 75 for `=?utf-8?B?` … `?=` leaves 63, of which base64 can use 60: 45 bytes of UTF-8.
_ENCODED_WORD_BYTES = 45

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PLAIN_TEXT = re.compile(r"[!-~]+(?: [!-~]+)*")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_PLAIN_PHRASE = re.compile(rf"{_ATOM}(?: {_ATOM})*")
_LOCAL_PART = re.compile(rf'{_ATOM}(?:\.{_ATOM})*|"(?:[ !#-\[\]-~]|\\[ -~])*"')
_WIDE_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+"
_WIDE_LOCAL_PART = re.compile(rf"{_WIDE_ATOM}(?:\.{_WIDE_ATOM})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LIST_ID = re.compile(rf"{_ATOM}(?:\.{_ATOM})+")
#: Who sends, in Feedback-ID: of 5 to 15 characters, and always the same.
_SENDER_ID = "feedsvc"
_FEEDBACK_PART = 40
_URI = re.compile(r"[a-z]+:[!#-;=?-Z_a-z~%\[\]]+")


def text_field(name: str, text: str) -> bytes:
    """An unstructured field, such as Subject; anything but plain ASCII in encoded-words."""
    _check(name, text)
    text = text.strip()
    words = text.split(" ")
    plain = _PLAIN_TEXT.fullmatch(text) and "=?" not in text
    if plain and max(map(len, words)) < _LINE - len(name) - 2:
        return _folded(name, words)
    return _with_encoded_words(name, text)


def mailbox_field(name: str, display_name: str, address: str) -> bytes:
    """From or To with one mailbox; the address itself is never encoded."""
    _check(name, display_name)
    return _phrase_and_angle(name, display_name.strip(), check_address(address))


def list_id_field(title: str, list_id: str) -> bytes:
    """List-Id: the title in words and the id, which looks like a domain (RFC 2919 §2)."""
    _check("List-Id", title)
    if not _LIST_ID.fullmatch(list_id):
        raise MessageUnbuildable(f"not a list id: {list_id!r}")
    return _phrase_and_angle("List-Id", title.strip(), list_id)


def list_unsubscribe_field(uris: Sequence[str]) -> bytes:
    """List-Unsubscribe: folded between addresses, never inside one (RFC 2369 §2)."""
    for uri in uris:
        if not _URI.fullmatch(uri):
            raise MessageUnbuildable("an address for List-Unsubscribe cannot be written")
    return _folded("List-Unsubscribe", [f"<{uri}>" for uri in uris], separator=",")


def feedback_id_field(parts: Sequence[str]) -> bytes:
    """Feedback-ID: what Gmail counts complaints under, from the narrowest; at most three parts."""
    if len(parts) > 3:
        raise ValueError("a Feedback-ID has at most three parts before the sender")
    cleaned = [re.sub(r"[^A-Za-z0-9_.-]+", "-", part)[:_FEEDBACK_PART] for part in parts]
    return fixed_field("Feedback-ID", ":".join([*cleaned, _SENDER_ID]))


@lru_cache(maxsize=64)
def date_field(at: datetime) -> bytes:
    """Date, in UTC and to the second."""
    if at.tzinfo is None:
        raise ValueError("a Date needs an aware datetime")
    return b"Date: %b\r\n" % format_datetime(at.astimezone(UTC)).encode("ascii")


def message_id_field(message_id: str) -> bytes:
    """Message-ID; `message_id` is without angle brackets."""
    left, _, right = message_id.partition("@")
    if not re.fullmatch(rf"{_ATOM}(?:\.{_ATOM})*", left) or not _DOMAIN.fullmatch(right):
        raise MessageUnbuildable(f"not a message id: {message_id!r}")
    return _folded("Message-ID", [f"<{message_id}>"])


def fixed_field(name: str, value: str) -> bytes:
    """A field whose value we chose: ASCII, as it is."""
    _check(name, value)
    return _folded(name, value.split(" "))


def check_address(address: str) -> str:
    """The address, if it can be written as it is; its local part may be more than ASCII.

    Raises:
        MessageUnbuildable: it cannot; the text does not repeat it.
    """
    local, at, domain = address.rpartition("@")
    if not at or not _is_local_part(local) or not _DOMAIN.fullmatch(domain):
        raise MessageUnbuildable("the address cannot be written in a header")
    # RFC 5321 §4.5.3.1, in octets (RFC 6531 §3.3).
    if len(address.encode()) > 254 or len(local.encode()) > 64:
        raise MessageUnbuildable("the address is too long")
    return address


def wire_address(address: str) -> str:
    """An address with its domain as A-labels (RFC 5891), as it stands in headers and envelopes.

    Raises:
        MessageUnbuildable: it cannot be written.
    """
    local, _, domain = address.rpartition("@")
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise MessageUnbuildable("the domain of an address cannot be written") from error
    return check_address(f"{local}@{domain}")


def _is_local_part(local: str) -> bool:
    if local.isascii():
        return bool(_LOCAL_PART.fullmatch(local))
    # SECURITY: neither what cannot be seen nor what turns the text around it (general categories
    # C and Z) stands in an address that people read.
    visible = all(one.isascii() or category(one)[0] not in "CZ" for one in local)
    return visible and bool(_WIDE_LOCAL_PART.fullmatch(local))


def _check(name: str, value: str) -> None:
    # SECURITY: the one place that keeps a title or a name from starting a header of its own.
    if _FORBIDDEN.search(value):
        raise MessageUnbuildable(f"the value for {name} holds control characters")


def _phrase_and_angle(name: str, phrase: str, inside: str) -> bytes:
    angle = f"<{inside}>"
    if not phrase:
        return _folded(name, [angle if name == "List-Id" else inside])
    words = phrase.split(" ")
    if "=?" not in phrase and _PLAIN_PHRASE.fullmatch(phrase) and max(map(len, words)) < 60:
        return _folded(name, [*words, angle])
    if "=?" not in phrase and _PLAIN_TEXT.fullmatch(phrase) and len(phrase) < 60:
        quoted = phrase.replace("\\", "\\\\").replace('"', '\\"')
        return _folded(name, [f'"{quoted}"', angle])
    return _with_encoded_words(name, phrase, after=angle)


def _with_encoded_words(name: str, text: str, after: str = "") -> bytes:
    words = [f"=?utf-8?B?{b64encode(part).decode()}?=" for part in _parts(name, text)]
    return _folded(name, [*words, *([after] if after else [])], limit=_LINE_WITH_ENCODED_WORD)


def _parts(name: str, text: str) -> Iterator[bytes]:
    """UTF-8 in pieces that each fit an encoded-word; no character is split."""
    room = (_LINE_WITH_ENCODED_WORD - len(name) - 2 - 12) // 4 * 3  # the first shares its line
    part = b""
    for character in text:
        encoded = character.encode()
        if len(part) + len(encoded) > min(room, _ENCODED_WORD_BYTES):
            yield part
            part, room = b"", _ENCODED_WORD_BYTES
        part += encoded
    if part:
        yield part


def _folded(name: str, words: Sequence[str], separator: str = "", limit: int = _LINE) -> bytes:
    """Words after the field's name, with a line break before each that would pass the limit."""
    whole = f"{name}: {f'{separator} '.join(words)}"
    if len(whole) <= limit:
        return whole.encode() + b"\r\n"
    lines = [f"{name}:"]
    for number, word in enumerate(words):
        written = word + (separator if number < len(words) - 1 else "")
        # A line of only the name and a break is legal, but some receivers read it as empty.
        if number and len(lines[-1]) + 1 + len(written) > limit:
            lines.append("")
        lines[-1] += f" {written}"
    if any(len(line.encode()) > _LINE_MAX for line in lines):
        raise MessageUnbuildable(f"{name} would have a line of more than {_LINE_MAX} characters")
    return "\r\n".join(lines).encode() + b"\r\n"
