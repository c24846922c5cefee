"""Which addresses are topics of the hub: those of the documents of feeds, and their former ones.

Pure. A feed that was renamed keeps its old addresses as topics, so that whoever subscribed to one
goes on being told until the lease ends and finds the new one then (WebSub §6.1).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from feedsvc.config_feeds import FeedSettings
from feedsvc.feeds.configured import HUB_PATH
from feedsvc.model.feed import DOCUMENT_NAMES, FeedFormat

_FORMATS = {name: one for one, name in DOCUMENT_NAMES.items()}
_PREFIX = "feeds/"
_ARCHIVE = re.compile(r"/archive/[0-9]+-[0-9]+\Z")


@dataclass(frozen=True, slots=True)
class Topic:
    """A document that can be subscribed to."""

    #: As it was asked for, decoded: that of the document, or a former one of it.
    path: str
    #: Key of the feed as it is called now.
    feed: str
    format: FeedFormat


@dataclass(frozen=True, slots=True)
class Topics:
    """Reads topics. Keys are those of the configuration; members of families stand below them."""

    base_url: str
    #: Feeds whose changes hubs are told of.
    told: frozenset[str]
    #: Former key -> present key.
    renamed: Mapping[str, str]

    @classmethod
    def of(cls, base_url: str, feeds: Mapping[str, FeedSettings]) -> "Topics":
        """What the configuration makes of them."""
        return cls(
            base_url=base_url,
            told=frozenset(key for key, feed in feeds.items() if feed.websub),
            renamed={old: key for key, feed in feeds.items() for old in feed.formerly},
        )

    def read_url(self, url: str) -> Topic | None:
        """The document that an address is that of; None where it is no topic of ours.

        Exactly the address that the document calls its own, but for how it is percent-encoded.
        """
        prefix = f"{self.base_url}/"
        if not url.startswith(prefix) or "?" in url or "#" in url:
            return None
        try:
            path = unquote_to_bytes(url.removeprefix(prefix)).decode("utf-8")
        except UnicodeError:
            return None
        return self.read_path(path) if path.isprintable() else None

    def read_path(self, path: str) -> Topic | None:
        """The same by path: decoded, without a leading slash."""
        folder, _, name = path.rpartition("/")
        feed_format = _FORMATS.get(name)
        key = folder.removeprefix(_PREFIX)
        if feed_format is None or key == folder or not key or _ARCHIVE.search(folder):
            return None
        head, slash, rest = key.partition("/")
        present = self.renamed.get(head, head)
        if present not in self.told:
            return None
        return Topic(path, f"{present}{slash}{rest}", feed_format)

    def paths_of(self, topic: Topic) -> list[str]:
        """All paths under which the same document can have been subscribed to."""
        head, slash, rest = topic.feed.partition("/")
        heads = [head, *(old for old, present in self.renamed.items() if present == head)]
        name = DOCUMENT_NAMES[topic.format]
        return [f"{_PREFIX}{one}{slash}{rest}/{name}" for one in heads]

    def url_of(self, path: str) -> str:
        """The address of a path, as it is written in links."""
        return f"{self.base_url}/{quote(path)}"

    def present_url(self, topic: Topic) -> str:
        """The address that the document calls its own."""
        return self.url_of(f"{_PREFIX}{topic.feed}/{DOCUMENT_NAMES[topic.format]}")

    @property
    def hub_url(self) -> str:
        """Where the embedded hub is asked."""
        return f"{self.base_url}/{HUB_PATH}"
