"""Time zones as people write them."""

from functools import cache
from zoneinfo import available_timezones

#: Where zones are that people live in; other names are older spellings, or for machines.
_AREAS = frozenset(
    {
        "Africa",
        "America",
        "Antarctica",
        "Arctic",
        "Asia",
        "Atlantic",
        "Australia",
        "Europe",
        "Indian",
        "Pacific",
    }
)
#: Columns of subscribers hold no longer ones; no zone has half of this.
_LONGEST = 64


@cache
def suggested_zones() -> tuple[str, ...]:
    """Names to choose from, by area and place."""
    names = (name for name in sorted(_names().values()) if name.partition("/")[0] in _AREAS)
    return (*names, "UTC")


def find_zone(text: str) -> str | None:
    """The IANA name that somebody meant: in any case, blanks for `_`; None when there is none."""
    return _names().get("_".join(text.casefold().split()))


def usable_zone(zone: str, fallback: str) -> str:
    """A stored zone; the other when it is empty, or gone from the zone database since."""
    return find_zone(zone) or fallback


@cache
def _names() -> dict[str, str]:
    # "localtime" is the machine's, which is nobody's.
    known = available_timezones() - {"localtime", "Factory"}
    return {name.casefold(): name for name in known if len(name) <= _LONGEST}
