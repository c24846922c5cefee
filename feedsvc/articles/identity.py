"""What an article is known by: its guid, its slug, and the digest of what a reader sees."""

import base64
import hashlib
import json
import re
import unicodedata
import uuid
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from feedsvc.model.article import ArticleData

#: Yields that many unpredictable bytes; `os.urandom` outside tests.
RandomBytes = Callable[[int], bytes]

MAX_SLUG_LENGTH = 80
_SHORT_ID_LENGTH = 10
#: Key in `ArticleData.extra` of an article whose date is not its author's but its file's.
DATED_BY_FILE = "dated_by_file"
#: Fields of an article that no reader sees, or that are written otherwise below.
_UNSEEN = (
    "content_hash",
    "draft",
    "extra",
    "updated_at",
    "slug",
    "weight",
    "canonical",
    "source_guid",
)

_NOT_IN_SLUG = re.compile(r"[^a-z0-9]+")


def mint_guid(random_bytes: RandomBytes) -> str:
    """A new identifier that says nothing about its article, so that nothing can make it wrong."""
    return uuid.UUID(bytes=random_bytes(16), version=4).urn


def choose_slug(wanted: str | None, title: str, guid: str) -> str:
    """A slug of ASCII letters, digits and hyphens: the author's, else of the title, else an id.

    A title that is mostly in another script would lose its meaning, so its slug is an id.
    """
    return _from_words(wanted or "") or _from_title(title) or short_id(guid)


def choose_free_slug(slug: str, guid: str, is_taken: Callable[[str], bool]) -> str:
    """The slug itself, or with a part of the guid's digest behind it when another has it."""
    if not is_taken(slug):
        return slug
    beginning = slug[: MAX_SLUG_LENGTH - _SHORT_ID_LENGTH - 1].rstrip("-")
    return f"{beginning}-{short_id(guid)}"


def short_id(guid: str) -> str:
    """Ten letters and digits that belong to a guid."""
    digest = hashlib.sha256(guid.encode()).digest()
    return base64.b32encode(digest).decode().lower()[:_SHORT_ID_LENGTH]


def digest_content(data: ArticleData) -> str:
    """Digest of everything a reader sees; equal digests, nothing for a reader to notice.

    A date that is only the file's counts for nothing: copying a file changes it.
    """
    seen = asdict(data)
    for unseen in _UNSEEN:
        del seen[unseen]
    # Only where there is any, so that the digests of articles without media stay what they were.
    if media := media_of(data):
        seen["extra"] = media
    seen["published_at"] = None if is_dated_by_file(data) else data.published_at.isoformat()
    text = json.dumps(seen, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def is_dated_by_file(data: ArticleData) -> bool:
    """Whether its author gave no date, so that the file's own was taken."""
    return DATED_BY_FILE in data.extra


def media_of(data: ArticleData) -> dict[str, Any]:
    """What `Article.extra` is to hold of it: all but what concerns reading it."""
    return {name: value for name, value in data.extra.items() if name != DATED_BY_FILE}


def _from_title(title: str) -> str:
    spelled = [c for c in _unaccented(title) if c.isalnum()]
    if sum(1 for c in spelled if c.isascii()) * 2 < len(spelled):
        return ""
    return _from_words(title)


def _from_words(text: str) -> str:
    slug = _NOT_IN_SLUG.sub("-", _unaccented(text).lower()).strip("-")
    if len(slug) <= MAX_SLUG_LENGTH:
        return slug
    return slug[: MAX_SLUG_LENGTH + 1].rpartition("-")[0] or slug[:MAX_SLUG_LENGTH]


def _unaccented(text: str) -> str:
    """Letters without their accents, apostrophes closed up: "l'été" -> "lete"."""
    split = unicodedata.normalize("NFKD", text.replace("'", "").replace("’", ""))
    return "".join(c for c in split if not unicodedata.combining(c))
