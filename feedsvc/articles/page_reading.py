"""What is read out of a saved news page."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PageReading:
    """A news page without what stands around it.

    `html` is not yet sanitised. `published_at` is aware UTC, midnight of the page's zone when only
    the day is given, None when the page gives no time. `authors` are those the page names; when
    it names none, where it says it took the article from.
    """

    title: str
    html: str
    published_at: datetime | None
    section: str | None = None
    authors: tuple[str, ...] = ()
    #: Where the page says it stands.
    canonical: str | None = None
