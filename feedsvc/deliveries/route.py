"""Which relay a mail goes by: of the lowest rank that is up, by weight. Pure."""

import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from feedsvc.model.relay import Relay


@dataclass(frozen=True, slots=True)
class Route:
    """A relay with its place among the others."""

    relay: Relay
    weight: int = 1
    rank: int = 1
    #: Connections to begin with; None: all at once.
    first_connections: int | None = None
    #: How long a connection without work is kept.
    idle_seconds: float = 0.0


def choose_route(
    routes: Iterable[Route], up: Collection[str], carriers: Collection[str], delivery_id: int
) -> Route | None:
    """The route for a delivery; None when none of those that may carry it is up.

    The same delivery goes by the same route as long as that is up: who was greylisted must come
    back from where they came (RFC 6647 §5).

    Args:
        up: names of relays that can be used now.
        carriers: names of relays that may carry it; empty: all.
    """
    usable = [
        one
        for one in routes
        if one.relay.name in up and (not carriers or one.relay.name in carriers)
    ]
    if len(usable) < 2:
        return usable[0] if usable else None
    first = min(one.rank for one in usable)
    usable = [one for one in usable if one.rank == first]
    place = zlib.crc32(str(delivery_id).encode()) % sum(one.weight for one in usable)
    for one in usable:
        place -= one.weight
        if place < 0:
            return one
    raise AssertionError("the place lies within the sum of the weights")
