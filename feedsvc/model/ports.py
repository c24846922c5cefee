"""Ports that sources fill, and small values that several stages speak."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from feedsvc.model.article import Article, Scan


@dataclass(frozen=True, slots=True)
class Selection:
    """Which articles belong to a feed or newsletter; an empty part selects all."""

    sources: frozenset[str] = frozenset()
    sections: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()

    def admits(
        self, source: str, section: str | None, topics: Iterable[str], language: str
    ) -> bool:
        """Whether an article with these properties belongs here."""
        return (
            (not self.sources or source in self.sources)
            and (not self.sections or section in self.sections)
            and (not self.topics or not self.topics.isdisjoint(topics))
            and (not self.languages or language in self.languages)
        )

    def matches(self, article: Article) -> bool:
        """Whether an article belongs here."""
        return self.admits(article.source, article.section, article.topics, article.language)


class SourcePort(Protocol):
    """Where articles come from. Reads only."""

    key: str

    def scan(self, known: Mapping[str, str]) -> Scan:
        """Look at everything there is. Blocking; run it in a thread.

        Args:
            known: source key -> fingerprint of what is already stored; unchanged items may be
                left out of the scan's `items`.

        Raises:
            SourceUnavailable: missing or unreadable as a whole.
        """
        ...

    def changes(self) -> AsyncIterator[None]:
        """Yield whenever something may have changed, soon after it did; may never yield."""
        ...
