"""Signed tokens for links and return paths of mails, and the key file they are signed with.

A token carries numbers, never an address. What a number means is known to the stage that signs
it; which database rows it points at is not checked here.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from feedsvc.errors import InvalidToken, KeyFileError
from feedsvc.kit.private_files import read_private, write_private
from feedsvc.kit.return_tokens import ReturnTokens

_VERSION = 1
_KEY_BYTES = 32
_MAC_BYTES = 16
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,40}\Z")
#: One text for every reason: a forger learns nothing from it.
_INVALID = "this link is not valid, or not any more"


class Scope(StrEnum):
    """What a token allows; a token of one scope is worthless in another."""

    #: Confirm a subscription: (subscription_id, requested_at in epoch seconds).
    CONFIRM = "confirm"
    #: End a subscription: (subscription_id,).
    UNSUBSCRIBE = "unsubscribe"
    #: Read a mail in the browser: (cohort_id,).
    VIEW = "view"
    #: See and change one's choices for a newsletter: (subscription_id,).
    PREFERENCES = "preferences"


#: Never renumber: old mails hold these.
_SCOPE_CODES = {Scope.CONFIRM: 1, Scope.UNSUBSCRIBE: 2, Scope.VIEW: 3, Scope.PREFERENCES: 4}


class Keyring:
    """The signing keys. The current one signs; the others only verify what they once signed."""

    def __init__(self, current_id: str, keys: Mapping[str, bytes]) -> None:
        if current_id not in keys:
            raise KeyFileError(f"the current key {current_id!r} is not among the keys")
        self._current_id = current_id
        self._keys = dict(keys)
        # Begun once: what a key and a prefix cost is half of a short message's MAC.
        self._token_macs = {name: _begin(key, b"feedsvc token\0") for name, key in keys.items()}
        others = (key for name, key in keys.items() if name != current_id)
        self._return_tokens = ReturnTokens([keys[current_id], *others])
        self._derivation = _begin(next(iter(keys.values())), b"feedsvc derive\0")

    def __repr__(self) -> str:
        # SECURITY: keys do not get into logs by way of a traceback.
        return f"Keyring(current_id={self._current_id!r}, ids={self.ids!r})"

    @classmethod
    def load(cls, path: Path) -> "Keyring":
        """Read the key file: `{"current": id, "keys": {id: base64 of 32 bytes, …}}`.

        Raises:
            KeyFileError: missing, open to others, or not a key file.
        """
        return cls(*_parse_key_file(path, read_private(path)))

    @classmethod
    def create(cls, path: Path) -> "Keyring":
        """Make a key file with one new key, mode 0600, on disk when this returns.

        Raises:
            KeyFileError: there is one already, or it cannot be written.
        """
        key_id, key = secrets.token_hex(4), secrets.token_bytes(_KEY_BYTES)
        body = {"current": key_id, "keys": {key_id: base64.b64encode(key).decode()}}
        write_private(path, json.dumps(body, indent=2).encode() + b"\n")
        return cls(key_id, {key_id: key})

    @classmethod
    def open(cls, path: Path) -> "Keyring":
        """Load the key file, or create it when there is none; several processes may try at once.

        Raises:
            KeyFileError: as from `load` and `create`.
        """
        if not path.exists():
            try:
                return cls.create(path)
            except KeyFileError:
                if not path.exists():
                    raise
        return cls.load(path)

    @property
    def current_id(self) -> str:
        """Id of the key that signs."""
        return self._current_id

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all keys, in the order of the file: oldest first."""
        return tuple(self._keys)

    def fingerprint(self, key_id: str) -> str:
        """64 hexadecimal digits that tell a key from another of the same id, and no more."""
        return hmac.new(self._keys[key_id], b"feedsvc fingerprint", hashlib.sha256).hexdigest()

    def sign(self, scope: Scope, *numbers: int, expires_at: datetime | None = None) -> str:
        """Make a token of letters, digits, `-` and `_`.

        Args:
            scope: what it allows.
            numbers: what it allows it for; none negative.
            expires_at: aware; from this second on it is refused. None: it holds for ever.
        """
        if any(number < 0 for number in numbers):
            raise ValueError("a token carries no negative number")
        if expires_at is not None and expires_at.tzinfo is None:
            raise ValueError("a token's expiry needs a time zone")
        key_id = self._current_id.encode()
        expires = 0 if expires_at is None else max(1, int(expires_at.timestamp()))
        payload = (
            bytes((_VERSION, len(key_id)))
            + key_id
            + bytes((_SCOPE_CODES[scope],))
            + b"".join(_varint(number) for number in (expires, *numbers))
        )
        return _encode(payload + self._mac(self._current_id, payload))

    def verify(self, scope: Scope, token: str, now: datetime) -> tuple[int, ...]:
        """The numbers a token carries.

        Raises:
            InvalidToken: malformed, forged, of another scope or key, or expired at `now`; always
                with the same text.
        """
        raw = _decode(token)
        payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        key_id, body = _split_key_id(payload)
        # An unknown key is compared too, so that it takes as long as a wrong signature.
        known = key_id in self._keys
        expected = self._mac(key_id if known else self._current_id, payload)
        if not hmac.compare_digest(expected, mac) or not known:
            raise InvalidToken(_INVALID)
        if not body or body[0] != _SCOPE_CODES[scope]:
            raise InvalidToken(_INVALID)
        expires, *numbers = _varints(body[1:])
        if expires and now.timestamp() >= expires:
            raise InvalidToken(_INVALID)
        return tuple(numbers)

    def sign_return(self, delivery_id: int) -> str:
        """Make the token of a delivery's return path: at most 24 lower-case letters and digits."""
        return self._return_tokens.sign(delivery_id)

    def verify_return(self, token: str) -> int:
        """The delivery a return path was made for, by whichever key, in either case.

        Raises:
            InvalidToken: malformed or forged; always with the same text.
        """
        return self._return_tokens.verify(token)

    def derive(self, purpose: str, *parts: str | int) -> bytes:
        """32 bytes that are a function of purpose and parts, and that nobody else can foretell.

        From the oldest key, so that what is derived (Message-IDs) outlives a rotation.
        """
        pieces = [purpose.encode()]
        for part in parts:
            pieces.append(b"i%d" % part if isinstance(part, int) else b"s" + part.encode())
        message = b"".join(_varint(len(piece)) + piece for piece in pieces)
        return _finish(self._derivation, message)

    def _mac(self, key_id: str, payload: bytes) -> bytes:
        return _finish(self._token_macs[key_id], payload)[:_MAC_BYTES]


def _begin(key: bytes, prefix: bytes) -> hmac.HMAC:
    return hmac.new(key, prefix, hashlib.sha256)


def _finish(begun: hmac.HMAC, message: bytes) -> bytes:
    """The MAC of what was begun with and `message`; may be called by several threads at once."""
    mac = begun.copy()
    mac.update(message)
    return mac.digest()


def _varint(number: int) -> bytes:
    """Seven bits a byte, lowest first; the high bit says that more follows."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varints(data: bytes) -> list[int]:
    numbers, number, shift = [], 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number, shift = 0, 0
    return numbers


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(token: str) -> bytes:
    """Bytes of a token; only the one spelling that `_encode` gives is taken."""
    try:
        raw = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except (ValueError, binascii.Error) as error:
        raise InvalidToken(_INVALID) from error
    if len(raw) <= _MAC_BYTES or _encode(raw) != token:
        raise InvalidToken(_INVALID)
    return raw


def _split_key_id(payload: bytes) -> tuple[str, bytes]:
    """Key id and what follows it; an impossible id reads as an unknown one."""
    if len(payload) < 2 or payload[0] != _VERSION:
        return "", b""
    end = 2 + payload[1]
    return payload[2:end].decode("latin-1"), payload[end:]


def _parse_key_file(path: Path, content: bytes) -> tuple[str, dict[str, bytes]]:
    try:
        body = json.loads(content)
        current, encoded = str(body["current"]), body["keys"]
        keys = {key: base64.b64decode(text, validate=True) for key, text in encoded.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise KeyFileError(f"{path}: not a key file; restore it from a backup") from error
    for key_id, key in keys.items():
        if not _KEY_ID.match(key_id) or len(key) != _KEY_BYTES:
            raise KeyFileError(f"{path}: key {key_id!r} is not {_KEY_BYTES} bytes with a short id")
    if current not in keys:
        raise KeyFileError(f"{path}: the current key {current!r} is not among the keys")
    return current, keys
