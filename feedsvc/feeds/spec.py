"""What a feed is: its words, which articles it holds, and how they are written."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from feedsvc.feeds.writing.entries import Content, Head, Links, Podcast, clean_text
from feedsvc.kit.filters import Filter
from feedsvc.model.feed import FeedFormat, document_url


@dataclass(frozen=True, slots=True)
class Window:
    """How many articles a feed's documents hold."""

    #: The newest so many.
    count: int = 50
    #: Older ones leave even when they are among the newest; None: they stay.
    max_age: timedelta | None = None
    #: Younger ones stay beyond `count`, so that readers who look rarely miss none.
    keep: timedelta = timedelta(0)


#: Entries that no document exceeds, however much is published.
MOST_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class FeedSpec:
    """One feed. `base_url` has no trailing slash; texts are as the operator wrote them."""

    key: str
    title: str
    description: str
    language: str
    formats: tuple[FeedFormat, ...]
    content: Content
    window: Window
    filter: Filter
    base_url: str
    site_title: str
    #: Whether what leaves the window can be had from archive pages.
    archive: bool = True
    #: Hubs that tell subscribers of changes (WebSub), in the order of the configuration.
    hubs: tuple[str, ...] = ()
    #: Address of a picture for the feed as a whole.
    image: str | None = None
    #: What podcast directories want to know; None for a feed that is no podcast.
    podcast: Podcast | None = None
    #: Keys it was published under before; their addresses lead to it.
    formerly: tuple[str, ...] = ()
    #: Key of the family in the configuration, and the value it is the member for.
    family: str | None = None
    value: str | None = None
    #: Identity for podcast directories, once it has been minted.
    guid: UUID | None = None

    def head(
        self, feed_format: FeedFormat, updated_at: datetime, links: Links | None = None
    ) -> Head:
        """What this feed says of itself in a format.

        Args:
            links: to the documents beside this one; without them, it is a feed's only document.
        """
        title = " ".join(clean_text(self.title).split())
        return Head(
            title=title,
            description=clean_text(self.description).strip(),
            language=self.language,
            home_url=f"{self.base_url}/",
            self_url=document_url(self.base_url, self.key, feed_format),
            author=" ".join(clean_text(self.site_title).split()) or title,
            updated_at=updated_at,
            links=links or Links(hubs=self.hubs),
            image=self.image,
            podcast=self.podcast,
            guid=str(self.guid) if self.guid else None,
        )
