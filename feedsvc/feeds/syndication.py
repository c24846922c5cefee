"""RSS 2.0 and Atom (RFC 4287) through feedgen; the only module that imports it.

Closes the traps of feedgen 1.0.0, and cuts what it writes into a frame and one fragment an entry,
so that an entry need not be written twice. Joined again they equal a full feedgen run, byte by
byte: `full_document` is that run, for tests and benchmarks to compare with.
"""

from collections.abc import Iterable
from email.utils import format_datetime
from html import escape
from typing import Any

import feedgen.entry
import feedgen.feed
from feedgen.entry import FeedEntry
from feedgen.ext.dc import DcEntryExtension, DcExtension
from feedgen.feed import FeedGenerator
from feedgen.version import version_str
from lxml import etree

from feedsvc.feeds.entries import Entry, Head
from feedsvc.model.feed import MEDIA_TYPES, FeedFormat

#: Names everything that decides the bytes of a fragment beside the entry: count it up whenever
#: the code below writes an entry differently or with another set of extensions.
RENDERER = f"1+dc+feedgen-{version_str}"

GENERATOR = "feedsvc"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_RSS_NAMESPACES = {
    **DcExtension().extend_ns(),
    "atom": "http://www.w3.org/2005/Atom",
    "content": "http://purl.org/rss/1.0/modules/content/",
}
_ENDS = {FeedFormat.RSS: b"</channel></rss>", FeedFormat.ATOM: b"</feed>"}

# QUIRK: feedgen writes RFC 2822 dates between two setlocale(LC_ALL) calls, which other threads
# of the process see (python-feedgen, util.formatRFC2822). format_datetime writes the same bytes.
feedgen.entry.formatRFC2822 = format_datetime
feedgen.feed.formatRFC2822 = format_datetime


class SyndicatedEntry(FeedEntry):  # type: ignore[misc]
    """A feedgen entry that loses nothing on the way into XML."""

    def __init__(self, language: str) -> None:
        super().__init__()
        self._language = language

    def atom_entry(self, extensions: bool = True) -> Any:
        """The `<entry>`, with its language and with whole links."""
        element = super().atom_entry(extensions)
        element.set(_XML_LANG, self._language)
        # QUIRK: feedgen 1.0.0 writes entry links with nothing but href, which makes an enclosure
        # the entry's own link (python-feedgen #135).
        for link, given in zip(element.findall("link"), self.link() or [], strict=True):
            for name in ("rel", "type", "hreflang", "title", "length"):
                if given.get(name):
                    link.set(name, given[name])
        return element

    def rss_entry(self, extensions: bool = True) -> Any:
        """The `<item>`; of several enclosures the first, where feedgen takes the last."""
        element = super().rss_entry(extensions)
        enclosure = element.find("enclosure")
        if enclosure is not None:
            first = next(link for link in self.link() if link["rel"] == "enclosure")
            for name, key in (("url", "href"), ("length", "length"), ("type", "type")):
                enclosure.set(name, first[key])
        return element


def xml_fragments(entry: Entry, formats: Iterable[FeedFormat]) -> dict[FeedFormat, bytes]:
    """One entry in each of the XML formats asked for, as it stands in a document.

    Raises whatever feedgen and lxml make of values they cannot write.
    """
    syndicated = _syndicate(entry)
    fragments: dict[FeedFormat, bytes] = {}
    for feed_format in formats:
        if feed_format is FeedFormat.RSS:
            fragments[feed_format] = _rss_fragment(syndicated)
        elif feed_format is FeedFormat.ATOM:
            fragments[feed_format] = etree.tostring(syndicated.atom_entry(), encoding="UTF-8")
    return fragments


def xml_frame(feed_format: FeedFormat, head: Head) -> tuple[bytes, bytes]:
    """What stands before and after the entries of a document."""
    whole, end = full_document(feed_format, head, ()), _ENDS[feed_format]
    return whole.removesuffix(end), end


def full_document(feed_format: FeedFormat, head: Head, entries: Iterable[Entry]) -> bytes:
    """A whole document by a plain feedgen run."""
    feed = _generator(feed_format, head)
    for entry in entries:
        feed.add_entry(_syndicate(entry), order="append")
    whole: bytes = feed.rss_str() if feed_format is FeedFormat.RSS else feed.atom_str()
    return whole.rstrip(b"\n")


def _generator(feed_format: FeedFormat, head: Head) -> FeedGenerator:
    feed = FeedGenerator()
    feed.register_extension("dc", DcExtension, DcEntryExtension, atom=False, rss=True)
    feed.id(head.self_url)
    feed.title(head.title)
    feed.description(head.description or head.title)
    feed.language(head.language)
    feed.author(name=head.author)
    # The alternate last: RSS takes the last link for the channel's own.
    media_type = MEDIA_TYPES[feed_format].partition(";")[0]
    feed.link(href=head.self_url, rel="self", type=media_type)
    feed.link(href=head.home_url, rel="alternate", type="text/html")
    feed.generator(GENERATOR)
    feed.docs("https://www.rssboard.org/rss-specification")
    feed.updated(head.updated_at)
    return feed


def _syndicate(entry: Entry) -> SyndicatedEntry:
    one = SyndicatedEntry(entry.language)
    one.register_extension("dc", DcEntryExtension, atom=False, rss=True)
    one.id(entry.guid)  # also the RSS guid, with isPermaLink="false"
    one.title(entry.title)
    one.link(href=entry.url, rel="alternate", type="text/html")
    for enclosure in entry.enclosures:
        one.enclosure(enclosure.url, enclosure.length_bytes, enclosure.media_type)
    if entry.content is not None:
        one.content(entry.content, type="html")
    if entry.summary:
        # Readers take an RSS description for HTML: a summary is text, so `<` stays a `<`.
        # Not description(), which would overwrite the Atom content.
        one.summary(escape(entry.summary, quote=False), type="html")
    if entry.authors:
        one.author([{"name": name} for name in entry.authors])
        one.dc.dc_creator(list(entry.authors))  # RSS's own <author> is an e-mail address
    one.dc.dc_language(entry.language)
    one.category([{"term": name} for name in entry.categories])
    one.published(entry.published_at)
    one.updated(entry.updated_at)
    return one


def _rss_fragment(syndicated: SyndicatedEntry) -> bytes:
    # Below a root that declares what the channel's root declares, as in a document; alone, lxml
    # would make up a prefix and declare it again in every item.
    root = etree.Element("rss", nsmap=_RSS_NAMESPACES)
    root.append(syndicated.rss_entry())
    whole: bytes = etree.tostring(root, encoding="UTF-8")
    return whole[whole.index(b"<item>") : -len(b"</rss>")]
