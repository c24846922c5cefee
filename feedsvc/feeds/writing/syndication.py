"""RSS 2.0 and Atom (RFC 4287) through feedgen; the only module that imports it.

Closes the traps of feedgen 1.0.0, and cuts what it writes into a frame and one fragment an entry,
so that an entry need not be written twice. Joined again they equal a full feedgen run, byte by
byte: `full_document` is that run, for tests and benchmarks to compare with.

Which namespaces a feed declares is settled by whether it is a podcast, never by what its entries
hold: a fragment fits into every document of its feed.
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

from feedsvc.feeds.writing.entries import Entry, Head
from feedsvc.feeds.writing.syndication_links import EditDate, FeedLinks, relations
from feedsvc.feeds.writing.syndication_media import MediaTags
from feedsvc.feeds.writing.syndication_podcast import ChannelTags, EpisodeTags
from feedsvc.feeds.writing.wire import clean_line, usable_url
from feedsvc.model.feed import MEDIA_TYPES, FeedFormat

#: Names everything that decides the bytes of a fragment beside the entry, the formats and
#: `podcast`: count it up whenever the code below writes an entry differently or with another set
#: of extensions.
RENDERER = f"2+dc+dcterms+media+fh+feedgen-{version_str}"

GENERATOR = "feedsvc"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_ENDS = {FeedFormat.RSS: b"</channel></rss>", FeedFormat.ATOM: b"</feed>"}
_LINK_ATTRIBUTES = ("rel", "type", "hreflang", "title", "length")
#: What an RSS image may be (RSS 2.0 `<image>`); an address need not say what it leads to.
_RSS_IMAGES = frozenset({"gif", "jpeg", "jpg", "png"})

#: Name, class for feeds, class for entries, in Atom, in RSS; in the order of their tags.
_Extension = tuple[str, type[Any], type[Any] | None, bool, bool]
_EXTENSIONS: tuple[_Extension, ...] = (
    ("dc", DcExtension, DcEntryExtension, False, True),
    ("dcterms", EditDate, EditDate, False, True),
    ("media", MediaTags, MediaTags, True, True),
    ("history", FeedLinks, None, True, True),
)
_PODCAST_EXTENSIONS: tuple[_Extension, ...] = (
    *_EXTENSIONS,
    ("podcast", ChannelTags, EpisodeTags, False, True),
)

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
            for name in _LINK_ATTRIBUTES:
                if given.get(name):
                    link.set(name, given[name])
        return element

    def rss_entry(self, extensions: bool = True) -> Any:
        """The `<item>`; of several enclosures the first, where feedgen takes the last."""
        element = super().rss_entry(extensions)
        enclosure = element.find("enclosure")
        if enclosure is not None:
            first = next(link for link in self.link() if link["rel"] == "enclosure")
            enclosure.set("url", first["href"])
            enclosure.set("type", first["type"])
            # RSS wants a length; 0 is how nobody's knowing it is written.
            enclosure.set("length", first.get("length", "0"))
        return element


def xml_fragments(
    entry: Entry, formats: Iterable[FeedFormat], podcast: bool = False
) -> dict[FeedFormat, bytes]:
    """One entry in each of the XML formats asked for, as it stands in a document.

    Raises whatever feedgen and lxml make of values they cannot write.

    Args:
        podcast: its feed is one (`Head.podcast`).
    """
    syndicated = _syndicate(entry, podcast)
    fragments: dict[FeedFormat, bytes] = {}
    for feed_format in formats:
        if feed_format is FeedFormat.RSS:
            item = syndicated.rss_entry()
            fragments[feed_format] = _fragment("rss", item, _RSS_NAMESPACES[podcast])
        elif feed_format is FeedFormat.ATOM:
            element = syndicated.atom_entry()
            fragments[feed_format] = _fragment("feed", element, _ATOM_NAMESPACES[podcast])
    return fragments


def xml_frame(feed_format: FeedFormat, head: Head) -> tuple[bytes, bytes]:
    """What stands before and after the entries of a document."""
    whole, end = full_document(feed_format, head, ()), _ENDS[feed_format]
    return whole.removesuffix(end), end


def full_document(feed_format: FeedFormat, head: Head, entries: Iterable[Entry]) -> bytes:
    """A whole document by a plain feedgen run."""
    feed, podcast = _generator(feed_format, head), head.podcast is not None
    for entry in entries:
        feed.add_entry(_syndicate(entry, podcast), order="append")
    whole: bytes = feed.rss_str() if feed_format is FeedFormat.RSS else feed.atom_str()
    return whole.rstrip(b"\n")


def _generator(feed_format: FeedFormat, head: Head) -> FeedGenerator:
    feed = FeedGenerator()
    for name, for_feed, for_entry, in_atom, in_rss in _extensions(head.podcast is not None):
        feed.register_extension(name, for_feed, for_entry, atom=in_atom, rss=in_rss)
    # The same on every page of a feed and wherever it moves (RFC 4287 §4.2.6).
    feed.id(f"urn:uuid:{head.guid}" if head.guid else head.links.current or head.self_url)
    feed.title(head.title)
    feed.description(head.description or head.title)
    feed.language(head.language)
    feed.author(name=head.author)
    media_type = MEDIA_TYPES[feed_format].partition(";")[0]
    feed.link(href=head.self_url, rel="self", type=media_type)
    for relation, address in relations(head.links):
        feed.link(href=address, rel=relation)
    # The alternate last: RSS takes the last link for the channel's own.
    feed.link(href=head.home_url, rel="alternate", type="text/html")
    feed.generator(GENERATOR)
    feed.docs("https://www.rssboard.org/rss-specification")
    feed.updated(head.updated_at)
    feed.history.links = head.links
    if head.podcast is not None:
        feed.podcast.describe(head)
        feed.rights(clean_line(head.podcast.copyright or "") or None)
    _set_image(feed, feed_format, head)
    return feed


def _set_image(feed: FeedGenerator, feed_format: FeedFormat, head: Head) -> None:
    url = usable_url(head.image)
    if url is None:
        return
    if feed_format is FeedFormat.ATOM:
        feed.icon(url)
        feed.logo(url)
    elif _is_rss_image(url):
        feed.image(url=url, title=head.title, link=head.home_url)


def _is_rss_image(url: str) -> bool:
    ending = url.partition("?")[0].rpartition("/")[2].rpartition(".")
    return not ending[1] or ending[2].lower() in _RSS_IMAGES


def _syndicate(entry: Entry, podcast: bool) -> SyndicatedEntry:
    one = SyndicatedEntry(entry.language)
    for name, _, for_entry, in_atom, in_rss in _extensions(podcast):
        if for_entry is not None:
            one.register_extension(name, for_entry, atom=in_atom, rss=in_rss)
    one.id(entry.guid)  # also the RSS guid, with isPermaLink="false"
    one.title(entry.title)
    one.link(href=entry.url, rel="alternate", type="text/html")
    for file in entry.enclosures:
        length = {"length": str(file.length_bytes)} if file.length_bytes else {}
        one.link(href=file.url, rel="enclosure", type=file.media_type, **length)
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
    if entry.updated_at > entry.published_at:
        one.dcterms.at = entry.updated_at
    one.media.describe(entry)
    if podcast:
        one.podcast.describe(entry)
    return one


def _extensions(podcast: bool) -> tuple[_Extension, ...]:
    return _PODCAST_EXTENSIONS if podcast else _EXTENSIONS


def _rss_namespaces(podcast: bool) -> dict[str, str]:
    declared: dict[str, str] = {}
    for _, for_feed, _, _, in_rss in _extensions(podcast):
        declared |= for_feed().extend_ns() if in_rss else {}
    return declared | {
        "atom": "http://www.w3.org/2005/Atom",
        "content": "http://purl.org/rss/1.0/modules/content/",
    }


def _atom_namespaces(podcast: bool) -> dict[str, str]:
    declared: dict[str, str] = {}
    for _, for_feed, _, in_atom, _ in _extensions(podcast):
        declared |= for_feed().extend_ns() if in_atom else {}
    return declared


_RSS_NAMESPACES = {podcast: _rss_namespaces(podcast) for podcast in (False, True)}
_ATOM_NAMESPACES = {podcast: _atom_namespaces(podcast) for podcast in (False, True)}


def _fragment(root_name: str, element: Any, namespaces: dict[str, str]) -> bytes:
    # Below a root that declares what the document's root declares; alone, lxml would make up
    # prefixes and declare them again in every entry.
    root = etree.Element(root_name, nsmap=namespaces)
    root.append(element)
    whole: bytes = etree.tostring(root, encoding="UTF-8")
    start = whole.index(f"<{element.tag}".encode(), whole.index(b">"))
    return whole[start : -len(f"</{root_name}>")]
