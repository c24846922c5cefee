"""What a return path carries: which delivery a mail that comes back was (VERP), with a MAC.

A token is one number, written with digits and letters of one case: servers on the way may change
the case of a local part, and split it at anything else. It names no key: all of them are tried.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable

from feedsvc.errors import InvalidToken

#: The longest token, which leaves 40 octets of a local part for what stands before it.
MAX_CHARACTERS = 24
_MAC_BYTES = 8
_MAC_BITS = _MAC_BYTES * 8
#: More would not fit; nobody has sent a millionth of it.
_MAX_ID = 2**60 - 1
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
#: Two digits at a time halve the divisions.
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
#: No number of deliveries makes fewer characters, since the first is not 0.
_TOKEN = re.compile(r"[1-9A-Za-z][0-9A-Za-z]{12,23}")
#: One text for every reason: a forger learns nothing from it.
_INVALID = "this return address is not one of ours"


class ReturnTokens:
    """Signs with the first key, and verifies with every one. For several threads at once."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._begun = [hmac.new(key, b"feedsvc return\0", hashlib.sha256) for key in keys]

    def sign(self, delivery_id: int) -> str:
        """The token of a delivery: at most 24 lower-case letters and digits."""
        if not 0 < delivery_id <= _MAX_ID:
            raise ValueError(f"a return path cannot carry the delivery {delivery_id}")
        mac = _finish(self._begun[0], delivery_id)
        number = delivery_id << _MAC_BITS | int.from_bytes(mac)
        written = ""
        while number:
            number, pair = divmod(number, 1296)
            written = _PAIRS[pair] + written
        return written.removeprefix("0")

    def verify(self, token: str) -> int:
        """The delivery of a token, in upper or lower case.

        Raises:
            InvalidToken: no key has signed it, or it is no token; always with the same text.
        """
        # SECURITY: the pattern first. int() takes blanks, signs, underlines and digits of other
        # scripts too, and would let one token be spelled in many ways.
        if not _TOKEN.fullmatch(token):
            raise InvalidToken(_INVALID)
        number = int(token, 36)
        delivery_id, mac = number >> _MAC_BITS, (number % 2**_MAC_BITS).to_bytes(_MAC_BYTES)
        if not 0 < delivery_id <= _MAX_ID:
            raise InvalidToken(_INVALID)
        # Every key is compared, so that the time tells nothing.
        matches = [hmac.compare_digest(_finish(one, delivery_id), mac) for one in self._begun]
        if not any(matches):
            raise InvalidToken(_INVALID)
        return delivery_id


def _finish(begun: hmac.HMAC, delivery_id: int) -> bytes:
    mac = begun.copy()
    mac.update(delivery_id.to_bytes(_MAC_BYTES))
    return mac.digest()[:_MAC_BYTES]
