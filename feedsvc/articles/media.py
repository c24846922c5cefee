"""What front matter says of a recording: duration, episode, transcript and so on.

It becomes `Article.extra`, under these names, each only where it is said:

    duration_seconds   int
    episode, season    int, from 1
    episode_type       full, trailer or bonus
    explicit           bool
    transcripts        [{url, type, language?}]
    chapters           address of a file of chapters (application/json+chapters)
    people             [{name, role?, url?, image?}]

The fields mean this only beside an enclosure: a recipe may have a `duration` of its own.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from feedsvc.articles.front_matter import FrontMatter, Value
from feedsvc.articles.links import make_absolute
from feedsvc.articles.metadata import ENCLOSURES
from feedsvc.articles.text import clean_line
from feedsvc.errors import BrokenArticle
from feedsvc.model.language import language_tag

_DURATIONS = ("duration", "itunes_duration", "podcast_duration", "时长")
_EPISODES = ("episode", "itunes_episode", "episode_number", "集")
_SEASONS = ("season", "itunes_season", "season_number", "季")
_EPISODE_TYPES = ("episode_type", "itunes_episode_type", "episodetype")
_EXPLICIT = ("explicit", "itunes_explicit")
_TRANSCRIPTS = ("transcript", "transcripts", "文字稿")
_CHAPTERS = ("chapters", "chapters_url", "章节")
#: Field -> the role that those named there have; None: said of each, or not at all.
_PEOPLE = {
    "people": None,
    "hosts": "host",
    "host": "host",
    "主持": "host",
    "guests": "guest",
    "guest": "guest",
    "嘉宾": "guest",
}

_MAX_COUNT = 1_000_000
_MAX_SECONDS = 1_000_000
_MAX_ITEMS = 50
_MAX_NAME_LENGTH = 200
_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,4}):([0-5]\d)(?:\.\d+)?")
_SECONDS = re.compile(r"(\d{1,7})(?:\.\d+)?")
_WORDS = re.compile(
    r"(?:pt)?(?:(\d{1,3})\s*(?:h|hrs?|hours?|小时|小時|时|時))?[\s,]*"
    r"(?:(\d{1,5})\s*(?:m|mins?|minutes?|分钟|分鐘|分))?[\s,]*"
    r"(?:(\d{1,7})(?:\.\d+)?\s*(?:s|secs?|seconds?|秒钟|秒鐘|秒))?",
    re.IGNORECASE,
)
_COUNT = re.compile(r"(?:第|s|e|ep|#|no\.?)?\s*(\d{1,7})\s*(?:集|季|期)?", re.IGNORECASE)
_EPISODE_KINDS = frozenset({"full", "trailer", "bonus"})
#: How explicit has been written over the years; iTunes once knew yes, no and clean.
_YES = frozenset({"true", "yes", "on", "1", "y", "explicit"})
_NO = frozenset({"false", "no", "off", "0", "n", "clean"})
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}")
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")
#: Types of transcripts by the end of their address, as the podcast namespace names them.
_TRANSCRIPT_TYPES = {
    ".html": "text/html",
    ".json": "application/json",
    ".srt": "application/x-subrip",
    ".txt": "text/plain",
    ".vtt": "text/vtt",
}


def read_media(front_matter: FrontMatter, location: str, base_url: str | None) -> dict[str, Any]:
    """What is said of the recording that goes with an article.

    Args:
        location: what a person would open to mend it.
        base_url: what relative addresses are relative to.

    Raises:
        BrokenArticle: a value cannot be read; names its line.
    """
    fields = _Fields(front_matter, location, base_url)
    said = {
        "duration_seconds": fields.duration(),
        "episode": fields.count(_EPISODES),
        "season": fields.count(_SEASONS),
        "episode_type": fields.episode_type(),
        "explicit": fields.explicit(),
        "transcripts": list(fields.transcripts())[:_MAX_ITEMS],
        "chapters": fields.chapters(),
        "people": list(fields.people())[:_MAX_ITEMS],
    }
    return {name: value for name, value in said.items() if value not in (None, [])}


@dataclass(frozen=True, slots=True)
class _Fields:
    front_matter: FrontMatter
    location: str
    base_url: str | None

    def duration(self) -> int | None:
        """How long it lasts, in seconds; 0 counts as not said."""
        name, text = self._first(_DURATIONS)
        if not text:
            name, text = self._enclosure_duration()
        if not text:
            return None
        seconds = _read_duration(text)
        if seconds is None or seconds > _MAX_SECONDS:
            raise self._broken(name, f"{name} is a time such as 1:02:03, or a number of seconds")
        return seconds or None

    def count(self, names: Sequence[str]) -> int | None:
        """A number from 1."""
        name, text = self._first(names)
        if not text:
            return None
        found = _COUNT.fullmatch(text)
        number = int(found[1]) if found else 0
        if not 0 < number <= _MAX_COUNT:
            raise self._broken(name, f"{name} is a whole number from 1")
        return number

    def episode_type(self) -> str | None:
        """What kind of episode it is."""
        name, text = self._first(_EPISODE_TYPES)
        if text and text.lower() not in _EPISODE_KINDS:
            raise self._broken(name, f"{name} is full, trailer or bonus")
        return text.lower() or None

    def explicit(self) -> bool | None:
        """Whether it is for adults."""
        name, text = self._first(_EXPLICIT)
        if not text:
            return None
        if text.lower() not in _YES | _NO:
            raise self._broken(name, f"{name} is either true or false")
        return text.lower() in _YES

    def chapters(self) -> str | None:
        """Address of its chapters."""
        name, text = self._first(_CHAPTERS)
        return self._address(name, text) if text else None

    def transcripts(self) -> Iterator[dict[str, str]]:
        """Files with its words: addresses, or maps of url, type and language."""
        for name, one in self._each(_TRANSCRIPTS):
            fields = one if isinstance(one, dict) else {"url": one}
            url = self._address(name, fields.get("url", ""))
            suffix = PurePosixPath(urlsplit(url).path).suffix.lower()
            media_type = str(fields.get("type", "")).lower() or _TRANSCRIPT_TYPES.get(suffix, "")
            if not _MEDIA_TYPE.fullmatch(media_type):
                raise self._broken(name, f"{name} has no media type such as text/vtt")
            transcript = {"url": url, "type": media_type}
            if language := str(fields.get("language", "") or fields.get("lang", "")):
                if not _LANGUAGE_TAG.fullmatch(language):
                    raise self._broken(name, f"{name}: {language[:30]!r} is not a language tag")
                transcript["language"] = language_tag(language)
            yield transcript

    def people(self) -> Iterator[dict[str, str]]:
        """Who is to be heard: names, or maps of name, role, url and image."""
        for field, role in _PEOPLE.items():
            for name, one in self._each((field,)):
                fields = one if isinstance(one, dict) else {"name": one}
                person = {"name": self._line(name, fields.get("name", ""))}
                if said := fields.get("role", "") or role or "":
                    person["role"] = self._line(name, said).lower()
                for key, names in (("url", ("url", "href")), ("image", ("image", "img"))):
                    if address := next((fields[n] for n in names if fields.get(n)), ""):
                        person[key] = self._address(name, address)
                yield person

    def _first(self, names: Sequence[str]) -> tuple[str, str]:
        for name in names:
            value = self.front_matter.values.get(name, "")
            if not isinstance(value, str):
                raise self._broken(name, f"{name} should be one value, not a list")
            # Digits and colons of a Chinese keyboard are digits and colons.
            if text := unicodedata.normalize("NFKC", clean_line(value)):
                return name, text
        return "", ""

    def _enclosure_duration(self) -> tuple[str, str]:
        """What the first enclosure that is a map says of itself."""
        for name, one in self._each(ENCLOSURES):
            if isinstance(one, dict) and isinstance(said := one.get("duration", ""), str):
                return name, clean_line(said)
        return "", ""

    def _each(self, names: Sequence[str]) -> Iterator[tuple[str, Value]]:
        for name in names:
            value = self.front_matter.values.get(name, "")
            for one in value if isinstance(value, list) else [value]:
                if one:
                    yield name, one

    def _address(self, name: str, value: Value) -> str:
        url = make_absolute(value, self.base_url) if isinstance(value, str) else None
        if url is None:
            raise self._broken(name, f"{name} has no address that starts with http(s)://")
        return url

    def _line(self, name: str, value: Value) -> str:
        text = clean_line(value) if isinstance(value, str) else ""
        if not text or len(text) > _MAX_NAME_LENGTH:
            raise self._broken(name, f"{name} needs names of at most {_MAX_NAME_LENGTH} characters")
        return text

    def _broken(self, name: str, reason: str) -> BrokenArticle:
        return BrokenArticle(self.location, reason, self.front_matter.lines.get(name))


def _read_duration(text: str) -> int | None:
    """Seconds; None when it is no duration. `2:30` is minutes and seconds."""
    if clock := _CLOCK.fullmatch(text):
        return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + int(clock[3])
    if seconds := _SECONDS.fullmatch(text):
        return int(seconds[1])
    words = _WORDS.fullmatch(text)
    if words is None or not any(words.groups()):
        return None
    hours, minutes, rest = (int(one or 0) for one in words.groups())
    return hours * 3600 + minutes * 60 + rest
