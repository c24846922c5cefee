"""What podcast players want to know of an article: its `extra`, as entries hold it.

articles/media.py says what the names in `Article.extra` mean and cleans what is stored there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from feedsvc.feeds.writing.wire import clean_line, shorten, usable_url

_KINDS = frozenset({"full", "trailer", "bonus"})
_MAX_NAME_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Transcript:
    """The words of a recording, as a file (`podcast:transcript`)."""

    url: str
    media_type: str
    #: BCP 47 tag; None: that of the episode.
    language: str | None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to be heard (`podcast:person`)."""

    name: str
    #: A role of the podcast taxonomy in lower case, such as host or guest.
    role: str | None
    #: Page about the person.
    url: str | None
    image: str | None


@dataclass(frozen=True, slots=True)
class Episode:
    """What only recordings have; None and empty where nothing was said."""

    duration_seconds: int | None = None
    number: int | None = None
    season: int | None = None
    #: `full`, `trailer` or `bonus`.
    kind: str | None = None
    explicit: bool | None = None
    transcripts: tuple[Transcript, ...] = ()
    #: Address of its chapters (application/json+chapters).
    chapters: str | None = None
    people: tuple[Person, ...] = ()


def read_episode(extra: Mapping[str, Any]) -> Episode:
    """The episode in `Article.extra`; what is not as it should be counts as not said."""
    kind, explicit = extra.get("episode_type"), extra.get("explicit")
    return Episode(
        duration_seconds=_count(extra.get("duration_seconds")),
        number=_count(extra.get("episode")),
        season=_count(extra.get("season")),
        kind=kind if isinstance(kind, str) and kind in _KINDS else None,
        explicit=explicit if isinstance(explicit, bool) else None,
        transcripts=tuple(_transcripts(extra.get("transcripts"))),
        chapters=usable_url(extra.get("chapters")),
        people=tuple(_people(extra.get("people"))),
    )


def _count(value: object) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31
    return value if is_count and isinstance(value, int) else None


def _transcripts(values: object) -> Iterable[Transcript]:
    for one in _maps(values):
        media_type = _line(one.get("type"))
        if (url := usable_url(one.get("url"))) and media_type:
            yield Transcript(url, media_type, _line(one.get("language")))


def _people(values: object) -> Iterable[Person]:
    for one in _maps(values):
        if name := _line(one.get("name")):
            url, image = usable_url(one.get("url")), usable_url(one.get("image"))
            yield Person(name, _line(one.get("role")), url, image)


def _maps(values: object) -> list[dict[str, Any]]:
    return [one for one in values if isinstance(one, dict)] if isinstance(values, list) else []


def _line(value: object) -> str | None:
    return shorten(clean_line(value), _MAX_NAME_LENGTH) or None if isinstance(value, str) else None
