"""Which coding of a document a client gets (RFC 9110 §12.5.3)."""

from collections.abc import Mapping
from enum import IntEnum


class Coding(IntEnum):
    """The codings documents are kept in; by number they are columns of counters."""

    #: As it is.
    IDENTITY = 0
    #: RFC 1952.
    GZIP = 1
    #: Brotli, RFC 7932.
    BR = 2
    #: Zstandard, RFC 8878.
    ZSTD = 3


#: What each is called in Content-Encoding; identity is not named there.
CODING_NAMES: dict[Coding, str] = {
    Coding.IDENTITY: "identity",
    Coding.GZIP: "gzip",
    Coding.BR: "br",
    Coding.ZSTD: "zstd",
}
#: What is put behind a document's entity tag to have a strong one for each coding (§8.8.3.3).
TAG_SUFFIXES: dict[Coding, bytes] = {
    Coding.IDENTITY: b"",
    Coding.GZIP: b"-gz",
    Coding.BR: b"-br",
    Coding.ZSTD: b"-zst",
}
#: Less than the smallest weight that can be written: identity that is not spoken of is acceptable.
_UNSPOKEN = 0.0001


def choose_coding(accept_encoding: bytes, sizes: Mapping[Coding, int]) -> Coding:
    """The acceptable coding with the greatest weight, of several the smallest.

    A client that refuses all there is gets identity: an unreadable coding helps less than a plain
    feed. One that refuses only identity gets gzip, which all of those read.

    Args:
        accept_encoding: as sent; empty where it was not, which asks for nothing but identity.
        sizes: of the bodies there are.
    """
    if not accept_encoding.strip():
        return Coding.IDENTITY
    named = _read_weights(accept_encoding.decode("latin-1").lower())
    weights = {coding: _weight(named, coding) for coding in sizes}
    acceptable = [coding for coding in sizes if weights[coding] > 0]
    if acceptable:
        return min(acceptable, key=lambda coding: (-weights[coding], sizes[coding]))
    if Coding.GZIP in sizes and not {"gzip", "x-gzip", "*"} & named.keys():
        return Coding.GZIP
    return Coding.IDENTITY


def _weight(named: Mapping[str, float], coding: Coding) -> float:
    name = CODING_NAMES[coding]
    weight = named.get(name)
    if coding is Coding.GZIP and "x-gzip" in named:
        weight = max(weight or 0.0, named["x-gzip"])
    if weight is None:
        weight = named.get("*", _UNSPOKEN if coding is Coding.IDENTITY else 0.0)
    return weight


def _read_weights(accept_encoding: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for part in accept_encoding.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if name:
            weights[name] = _read_weight(parameters)
    return weights


def _read_weight(parameters: list[str]) -> float:
    """The weight among a coding's parameters; one that cannot be read is a refusal."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0 <= weight <= 1 else 0.0
    return 1.0
