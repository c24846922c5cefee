"""Writes a feed in every format, from fragments, and holds it against a full run."""

from collections.abc import Sequence
from dataclasses import replace

from feedsvc.feeds.spec import FeedSpec
from feedsvc.feeds.writing.entries import EMPTY_FEED_AT, Links, Podcast, read_entry
from feedsvc.feeds.writing.jsonfeed import full_json, json_fragment, json_frame
from feedsvc.feeds.writing.syndication import full_document, xml_fragments, xml_frame
from feedsvc.model.article import Article
from feedsvc.model.feed import ArchiveName, FeedFormat, document_url

AUDIO = {"url": "https://news.example/a.mp3", "media_type": "audio/mpeg", "length_bytes": 4321}
VIDEO = {"url": "https://news.example/b.mp4", "media_type": "video/mp4", "length_bytes": 9}
#: An address of a file, of which nobody knows more.
UNKNOWN = {"url": "https://news.example/第1集.m4a", "media_type": "audio/mp4", "length_bytes": 0}

PODCAST = Podcast(
    author="李雷 & Alice",
    categories=(("News", "Daily News"), ("Society & Culture",)),
    explicit=False,
    owner_name="李雷",
    owner_email="lilei@news.example",
    copyright="© 2026 The News",
    funding_url="https://news.example/支持",
    funding_text="支持我们 <3",
)
EPISODE = {
    "duration_seconds": 3723,
    "episode": 3,
    "season": 2,
    "episode_type": "full",
    "explicit": True,
    "transcripts": [
        {"url": "https://news.example/3.vtt", "type": "text/vtt", "language": "zh-CN"},
        {"url": "https://news.example/3.srt", "type": "application/x-subrip"},
    ],
    "chapters": "https://news.example/3.json",
    "people": [
        {"name": "韩梅梅", "role": "guest", "url": "https://news.example/h"},
        {"name": "Alice"},
    ],
}


def write_feed(
    spec: FeedSpec,
    articles: Sequence[Article],
    links: Links | None = None,
    address: str | None = None,
) -> dict[FeedFormat, bytes]:
    """The documents of a feed; fragment by fragment they are what a full run writes.

    `address` is that of an archive page, where it is one.
    """
    entries = [read_entry(one, spec.base_url, spec.content) for one in articles]
    updated_at = max((one.updated_at for one in entries), default=EMPTY_FEED_AT)
    written = {}
    for feed_format in spec.formats:
        head = spec.head(feed_format, updated_at, links)
        head = replace(head, self_url=address or head.self_url)
        if feed_format is FeedFormat.JSON:
            start, end = json_frame(head)
            joined = start + b",".join(json_fragment(one) for one in entries) + end
            whole = full_json(head, entries)
        else:
            start, end = xml_frame(feed_format, head)
            podcast = spec.podcast is not None
            parts = [xml_fragments(one, (feed_format,), podcast)[feed_format] for one in entries]
            joined, whole = start + b"".join(parts) + end, full_document(feed_format, head, entries)
        assert joined == whole
        written[feed_format] = joined
    return written


def archive_links(feed_format: FeedFormat) -> Links:
    """Those of the second of three archive pages."""
    pages = [
        document_url("https://news.example", "all", feed_format, ArchiveName(number, 1))
        for number in (1, 3)
    ]
    feed = document_url("https://news.example", "all", feed_format)
    return Links((), pages[0], pages[1], feed)
