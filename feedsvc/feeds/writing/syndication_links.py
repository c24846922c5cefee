"""Tags about documents and dates that feedgen has none for, as extensions of its feeds and entries.

An extension has the three methods feedgen calls; it writes nothing until it is given something.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from lxml import etree

from feedsvc.feeds.writing.entries import Links

_ATOM = "{http://www.w3.org/2005/Atom}"
#: RFC 5005 §4.
HISTORY_NAMESPACE = "http://purl.org/syndication/history/1.0"
TERMS_NAMESPACE = "http://purl.org/dc/terms/"


def relations(links: Links) -> Iterator[tuple[str, str]]:
    """Each link as its relation and its address, in the order in which they are written."""
    yield from (("hub", hub) for hub in links.hubs)
    for relation, address in (
        ("prev-archive", links.previous_archive),
        ("next-archive", links.next_archive),
        ("current", links.current),
    ):
        if address is not None:
            yield relation, address


class FeedLinks:
    """Links of a feed beyond its own, and the mark of an archive page.

    QUIRK: of all links, feedgen writes only the feed's own into RSS; into Atom it writes all.
    """

    def __init__(self) -> None:
        self.links = Links()

    def extend_ns(self) -> dict[str, str]:
        """Prefixes to be declared."""
        return {"fh": HISTORY_NAMESPACE}

    def extend_atom(self, feed: Any) -> Any:
        """Mark an archive page."""
        if self.links.current is not None:
            etree.SubElement(feed, f"{{{HISTORY_NAMESPACE}}}archive")
        return feed

    def extend_rss(self, rss: Any) -> Any:
        """Write the links, and mark an archive page."""
        channel = rss[0]
        for relation, address in relations(self.links):
            etree.SubElement(channel, f"{_ATOM}link", rel=relation, href=address)
        self.extend_atom(channel)
        return rss


class EditDate:
    """When an RSS item was changed, which RSS itself has no tag for.

    Not atom:updated, which some readers take for the date of the article itself, nor dc:date,
    which means the same as pubDate.
    """

    def __init__(self) -> None:
        self.at: datetime | None = None

    def extend_ns(self) -> dict[str, str]:
        """Prefixes to be declared."""
        return {"dcterms": TERMS_NAMESPACE}

    def extend_rss(self, item: Any) -> Any:
        """Write the date."""
        if self.at is not None:
            modified = etree.SubElement(item, f"{{{TERMS_NAMESPACE}}}modified")
            modified.text = self.at.isoformat()
        return item
