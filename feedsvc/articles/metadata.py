"""What the fields of front matter mean: the names people use for them, read into clean values.

An unreadable value is an error with its line, not a default: an article with a mistaken date or
language would go out wrong.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from feedsvc.articles.dates import read_date
from feedsvc.articles.front_matter import FrontMatter, Value
from feedsvc.articles.links import make_absolute
from feedsvc.articles.text import clean_line, cut_back
from feedsvc.errors import BrokenArticle
from feedsvc.model.article import Enclosure
from feedsvc.model.language import language_tag

_TITLES = ("title", "headline", "标题")
_DATES = ("published_at", "date", "published", "pubdate", "日期")
_UPDATES = ("updated", "updated_at", "lastmod", "modified", "last_modified_at")
_SECTIONS = ("section", "category", "栏目")
_TOPICS = ("topics", "tags", "tag", "categories", "keywords", "标签")
_AUTHOR_LISTS = ("authors",)
_AUTHORS = ("author", "作者")
_LANGUAGES = ("language", "lang")
_SUMMARIES = ("summary", "description", "excerpt", "摘要")
_IMAGES = ("image", "cover", "featured_image", "cover_image", "thumbnail")
_URLS = ("canonical", "canonical_url", "url", "link", "permalink")
_GUIDS = ("guid",)
ENCLOSURES = ("enclosure", "enclosures", "附件")

MAX_TITLE_LENGTH = 500
#: Longest section, topic or name of an author (characters).
_MAX_NAME_LENGTH = 200
_MAX_NAMES = 50
#: Articles are lighter and heavier by as much.
MAX_WEIGHT = 1000
_SEPARATORS = re.compile(r"[,，、;；]")
#: One author may be written "Smith, Jane".
_AUTHOR_SEPARATORS = re.compile(r"[，、;；]")
_YES = frozenset({"true", "yes", "on", "1", "y"})
_NO = frozenset({"false", "no", "off", "0", "n", ""})
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")
_WEIGHT = re.compile(r"[+-]?[0-9]{1,6}")
#: An id that is nobody else's anywhere: a URI (also of a web page), or a UUID alone.
_GLOBAL_ID = re.compile(
    r"(?:urn|tag|https?):\S{4,500}|(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})", re.IGNORECASE
)
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}")
_TYPES_BY_SUFFIX = {
    ".aac": "audio/aac",
    ".epub": "application/epub+zip",
    ".flac": "audio/flac",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".m4a": "audio/mp4",
    ".m4v": "video/mp4",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webp": "image/webp",
    ".zip": "application/zip",
}


@dataclass(frozen=True, slots=True)
class Metadata:
    """The fields of one item, asked for one by one; each answer is clean."""

    front_matter: FrontMatter
    location: str
    zone: ZoneInfo

    def title(self) -> str | None:
        """The title as plain text; None when there is none."""
        text = self._line(_TITLES)
        return shorten(text, MAX_TITLE_LENGTH) if text else None

    def published_at(self) -> datetime | None:
        """When it was or will be published, in UTC. `published: false` is a draft, no date."""
        for name in _DATES:
            if name == "published" and self._text(name).lower() in _YES | _NO:
                continue
            if moment := self._date(name):
                return moment
        return None

    def updated_at(self) -> datetime | None:
        """When its author last changed it, in UTC."""
        return next((moment for name in _UPDATES if (moment := self._date(name))), None)

    def is_draft(self) -> bool:
        """Whether it says `draft: true` or `published: false`."""
        if self._flag("draft"):
            return True
        return self._text("published").lower() in _NO - {""}

    def slug(self) -> str | None:
        """The author's own short name for it, as written."""
        return self._line(("slug",)) or None

    def weight(self) -> int:
        """How important its author finds it; 0 is as any other, and heavier ones come first.

        QUIRK: Hugo lists the lightest first, but there too only what bears a weight at all.
        """
        text = self._text("weight")
        if not text:
            return 0
        if not _WEIGHT.fullmatch(text) or abs(int(text)) > MAX_WEIGHT:
            raise self._broken(
                "weight", f"weight is a whole number from -{MAX_WEIGHT} to {MAX_WEIGHT}"
            )
        return int(text)

    def source_guid(self) -> str | None:
        """The id it bears wherever it is published; one that only counts here says nothing."""
        text = self._line(_GUIDS)
        return text if _GLOBAL_ID.fullmatch(text) else None

    def section(self) -> str | None:
        """The part of the publication it belongs to; the first of several."""
        names = self._names(_SECTIONS)
        return names[0] if names else None

    def topics(self) -> tuple[str, ...]:
        """Its topics, tags and categories, each once, in the author's order."""
        return tuple(self._names(_TOPICS, _SEPARATORS))

    def authors(self) -> tuple[str, ...]:
        """Names of its authors."""
        listed = self._names(_AUTHOR_LISTS, _SEPARATORS)
        return tuple(_each_once([*listed, *self._names(_AUTHORS, _AUTHOR_SEPARATORS)]))

    def language(self) -> str | None:
        """Its language as a BCP 47 tag in the usual letter case."""
        name, text = self._first(_LANGUAGES)
        if not text:
            return None
        if not _LANGUAGE_TAG.fullmatch(text):
            raise self._broken(name, f"{name} is not a language tag (write for example zh-CN)")
        return language_tag(text)

    def summary(self) -> str | None:
        """The author's own summary as one line of text."""
        return self._line(_SUMMARIES) or None

    def url(self, base_url: str | None) -> str | None:
        """Where it stands on the web already; a path without a known site says nothing."""
        return next(
            (url for name in _URLS if (url := make_absolute(self._text(name), base_url))), None
        )

    def image(self, base_url: str | None) -> str | None:
        """Address of its picture."""
        for name in _IMAGES:
            value = self.front_matter.values.get(name, "")
            if isinstance(value, dict):  # Hugo themes: cover: {image: …}
                value = value.get("image") or value.get("url") or value.get("src") or ""
            if isinstance(value, list):
                value = value[0] if value else ""
            if isinstance(value, str) and (url := make_absolute(value, base_url)):
                return url
        return None

    def enclosures(self, base_url: str | None) -> tuple[Enclosure, ...]:
        """Files that go with it: addresses, or maps of url, type and length in bytes."""
        found = []
        for name in ENCLOSURES:
            value = self.front_matter.values.get(name, "")
            for one in value if isinstance(value, list) else [value]:
                if one:
                    found.append(self._enclosure(name, one, base_url))
        return tuple(found[:_MAX_NAMES])

    def _enclosure(self, name: str, value: Value, base_url: str | None) -> Enclosure:
        fields = value if isinstance(value, dict) else {"url": value}
        address, kind, length = (fields.get(key, "") for key in ("url", "type", "length"))
        url = make_absolute(address, base_url) if isinstance(address, str) else None
        if url is None:
            raise self._broken(name, f"{name} has no address that starts with http(s)://")
        media_type = str(kind).lower() or _guess_type(url)
        if not _MEDIA_TYPE.fullmatch(media_type):
            raise self._broken(name, f"{name} has no media type such as audio/mpeg")
        if not re.fullmatch(r"[0-9]{0,15}", str(length)):
            raise self._broken(name, f"{name} needs its length as a number of bytes")
        return Enclosure(url, media_type, int(str(length) or 0))

    def _text(self, name: str) -> str:
        value = self.front_matter.values.get(name, "")
        if isinstance(value, str):
            return value.strip()
        raise self._broken(name, f"{name} should be one value, not a list")

    def _first(self, names: Sequence[str]) -> tuple[str, str]:
        return next(((name, text) for name in names if (text := self._text(name))), ("", ""))

    def _line(self, names: Sequence[str]) -> str:
        return clean_line(self._first(names)[1])

    def _date(self, name: str) -> datetime | None:
        text = self._text(name)
        if not text:
            return None
        try:
            return read_date(text, self.zone)
        except ValueError as error:
            raise self._broken(name, f"{name}: {clean_line(text)[:60]!r} {error}") from error

    def _flag(self, name: str) -> bool:
        text = self._text(name).lower()
        if text not in _YES | _NO:
            raise self._broken(name, f"{name} is either true or false")
        return text in _YES

    def _names(self, names: Iterable[str], separators: re.Pattern[str] | None = None) -> list[str]:
        found: list[str] = []
        for name in names:
            found += _flat_names(self.front_matter.values.get(name, ""), separators)
        for one in found:
            if len(one) > _MAX_NAME_LENGTH:
                raise BrokenArticle(
                    self.location, f"{one[:30]!r}… is longer than {_MAX_NAME_LENGTH} characters"
                )
        return _each_once(found)[:_MAX_NAMES]

    def _broken(self, name: str, reason: str) -> BrokenArticle:
        return BrokenArticle(self.location, reason, self.front_matter.lines.get(name))


def shorten(text: str, limit: int) -> str:
    """The text, cut to `limit` characters with an ellipsis when it is longer."""
    return text if len(text) <= limit else cut_back(text, limit - 1) + "…"


def _flat_names(value: Value, separators: re.Pattern[str] | None = None) -> list[str]:
    """Names out of a list, nested lists (Hexo), maps with a name, or one text with separators."""
    if isinstance(value, list):
        return [name for one in value for name in _flat_names(one)]
    if isinstance(value, dict):
        return _flat_names(value.get("name", ""))
    pieces = separators.split(value) if separators else [value]
    return [name for piece in pieces if (name := clean_line(piece))]


def _each_once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _guess_type(url: str) -> str:
    suffix = PurePosixPath(urlsplit(url).path).suffix.lower()
    return _TYPES_BY_SUFFIX.get(suffix, "application/octet-stream")
