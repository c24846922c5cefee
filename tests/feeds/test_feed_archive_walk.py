"""Following the links of a feed's document yields its whole history, in every format."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import unquote, urlsplit

import brotli
import feedparser
import pytest
import zstandard
from lxml import etree
from sqlalchemy import update
from sqlmodel import col

from feedsvc.db.engine import Database
from feedsvc.feeds.archive.pages import ArchiveMoved, list_pages, open_archive, render_pages
from feedsvc.feeds.archive.plan import parse_archive_path
from feedsvc.feeds.archive.store import (
    ArchiveRenewal,
    archive_links,
    renew_archives,
    touched_archives,
)
from feedsvc.feeds.documents.versions import entity_tag
from feedsvc.feeds.fragments import FragmentCache
from feedsvc.feeds.render import render_feed
from feedsvc.feeds.spec import FeedSpec, Window
from feedsvc.kit.filters import from_selection
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.feed import ArchiveName, FeedFormat, ServedDocument
from feedsvc.model.ports import Selection

pytestmark = pytest.mark.anyio
ArticleBuilder = Callable[..., Article]
SpecBuilder = Callable[..., FeedSpec]

_ATOM = "{http://www.w3.org/2005/Atom}"
_ARCHIVE = "{http://purl.org/syndication/history/1.0}archive"


class Site:
    """A feed and its pages as a reader meets them, with what it keeps of them in a database."""

    def __init__(self, database: Database, spec: FeedSpec, now: datetime) -> None:
        self.database, self.spec, self.now = database, spec, now
        self.redirected = 0

    async def publish(self, *articles: Article, touched: tuple[int, ...] = ()) -> ArchiveRenewal:
        """Store articles and bring the pages in line with them, a second later."""
        self.now += timedelta(seconds=1)
        async with self.database.write() as session:
            session.add_all(articles)
            await session.flush()
            return await renew_archives(session, self.spec, self.now, touched)

    async def change(self, *seqs: int, **values: object) -> ArchiveRenewal:
        """Change articles, and bring the pages in line with them."""
        async with self.database.write() as session:
            chosen = update(Article).where(col(Article.seq).in_(seqs))
            await session.execute(chosen.values(**values))
        return await self.publish(touched=seqs)

    async def document(self, feed_format: FeedFormat) -> bytes:
        """The feed's own document."""
        async with self.database.read() as session:
            links = await archive_links(session, self.spec)
            rendered = await render_feed(session, self.spec, FragmentCache(), self.now, links)
        return rendered.documents[feed_format]

    async def open(
        self, number: int, version: int, feed_format: FeedFormat = FeedFormat.ATOM
    ) -> ServedDocument | ArchiveMoved | None:
        async with self.database.read() as session:
            name = ArchiveName(number, version)
            return await open_archive(session, self.spec, name, feed_format, FragmentCache())

    async def fetch(self, url: str) -> ServedDocument:
        """What an address leads to, as an HTTP client that follows redirects gets it."""
        assert url.startswith(f"{self.spec.base_url}/feeds/")
        named = parse_archive_path(unquote(urlsplit(url).path))
        assert named is not None
        assert named[0] == self.spec.key
        opened = await self.open(named[1].number, named[1].version, named[2])
        if isinstance(opened, ArchiveMoved):
            self.redirected += 1
            opened = await self.open(opened.name.number, opened.name.version, named[2])
        assert isinstance(opened, ServedDocument)
        return opened

    async def walk(self, feed_format: FeedFormat) -> AsyncIterator[bytes]:
        """The feed's document and every page, newest first."""
        body, seen = await self.document(feed_format), set[str]()
        yield body
        while url := previous(feed_format, body):
            assert url not in seen
            seen.add(url)
            body = (await self.fetch(url)).body
            yield body

    async def history(self, feed_format: FeedFormat = FeedFormat.ATOM) -> dict[str, str]:
        """Titles of all entries a reader finds, by id."""
        found: dict[str, str] = {}
        async for body in self.walk(feed_format):
            found = entries(feed_format, body) | found
        return found


def previous(feed_format: FeedFormat, body: bytes) -> str | None:
    """Where a document says that older entries are."""
    if feed_format is FeedFormat.JSON:
        url: str | None = json.loads(body).get("next_url")
        return url
    links = feedparser.parse(body).feed.links
    return next((link.href for link in links if link.rel == "prev-archive"), None)


def entries(feed_format: FeedFormat, body: bytes) -> dict[str, str]:
    """Titles by id."""
    if feed_format is FeedFormat.JSON:
        return {item["id"]: item["title"] for item in json.loads(body)["items"]}
    parsed = feedparser.parse(body)
    assert not parsed.bozo
    return {entry.id: entry.title for entry in parsed.entries}


@pytest.fixture
async def site(database: Database, make_spec: SpecBuilder, make_article: ArticleBuilder) -> Site:
    """A feed of 57 articles, half of them Chinese; its window holds 10, its pages 20."""
    spec = make_spec(key="topics/科技", window=Window(10), title="科技 News")
    site = Site(database, spec, make_article(1000).published_at)
    articles = (
        make_article(number, title=f"文章 {number}", language="zh-CN")
        if number % 2
        else make_article(number)
        for number in range(1, 58)
    )
    await site.publish(*articles)
    return site


def titles(first: int, last: int, *without: int) -> set[str]:
    return {
        f"文章 {number}" if number % 2 else f"Article {number}"
        for number in range(first, last + 1)
        if number not in without
    }


@pytest.mark.parametrize("feed_format", list(FeedFormat))
async def test_a_new_reader_finds_every_article_there_ever_was(
    site: Site, feed_format: FeedFormat
) -> None:
    found = await site.history(feed_format)
    assert (len(found), set(found.values())) == (57, titles(1, 57))
    sizes = [len(entries(feed_format, body)) async for body in site.walk(feed_format)]
    assert sizes == [10, 17, 20, 20]
    assert site.redirected == 0


async def test_all_formats_tell_the_same_history(site: Site) -> None:
    assert (
        await site.history(FeedFormat.RSS)
        == await site.history(FeedFormat.ATOM)
        == await site.history(FeedFormat.JSON)
    )


@pytest.mark.parametrize("feed_format", [FeedFormat.ATOM, FeedFormat.RSS])
async def test_a_page_says_that_it_is_one_and_where_the_feed_is(
    site: Site, feed_format: FeedFormat
) -> None:
    page = await site.open(2, 1, feed_format)
    assert isinstance(page, ServedDocument)
    root = etree.fromstring(page.body)
    feed = root if feed_format is FeedFormat.ATOM else root[0]
    links = {link.get("rel"): link.get("href") for link in feed.findall(f"{_ATOM}link")}
    name = "atom.xml" if feed_format is FeedFormat.ATOM else "rss.xml"
    base = "https://news.example/feeds/topics/%E7%A7%91%E6%8A%80"
    assert feed.findall(_ARCHIVE)
    assert links["self"] == f"{base}/archive/2-1/{name}" == page.url
    assert links["current"] == f"{base}/{name}"
    assert links["prev-archive"] == f"{base}/archive/1-1/{name}"
    # What is newer had no address when this version of the page was made.
    assert "next-archive" not in links
    document = etree.fromstring(await site.document(feed_format))
    assert document.find(f".//{_ARCHIVE}") is None
    oldest = await site.open(1, 1, feed_format)
    assert isinstance(oldest, ServedDocument)
    assert b"prev-archive" not in oldest.body


async def test_a_page_is_the_same_bytes_with_the_same_validators_whenever_it_is_opened(
    site: Site,
) -> None:
    page = await site.open(1, 1)
    assert isinstance(page, ServedDocument)
    await site.publish()
    assert await site.open(1, 1) == page
    assert (page.path, page.feed, page.is_archive) == (
        "feeds/topics/科技/archive/1-1/atom.xml",
        "topics/科技",
        True,
    )
    assert page.etag == entity_tag(page.body)
    assert gzip.decompress(page.body_gzip) == page.body
    assert page.body_br is not None
    assert brotli.decompress(page.body_br) == page.body
    assert page.body_zstd is not None
    assert zstandard.ZstdDecompressor().decompressobj().decompress(page.body_zstd) == page.body
    assert zlib.decompress(page.body_gzip, wbits=31) == page.body


async def test_entries_of_a_page_stand_newest_first(site: Site) -> None:
    page = await site.open(1, 1, FeedFormat.JSON)
    assert isinstance(page, ServedDocument)
    dates = [item["date_published"] for item in json.loads(page.body)["items"]]
    assert dates == sorted(dates, reverse=True)


async def test_an_edit_makes_a_new_version_to_which_the_old_address_leads(site: Site) -> None:
    old = await site.open(1, 1)
    assert isinstance(old, ServedDocument)
    renewal = await site.change(5, title="改了", revision=2)
    assert renewal == ArchiveRenewal(
        renewed=(ArchiveName(1, 2),), replaced=(ArchiveName(1, 1),), is_link_changed=False
    )
    assert await site.open(1, 1) == ArchiveMoved(ArchiveName(1, 2))
    new = await site.open(1, 2)
    assert isinstance(new, ServedDocument)
    assert new.etag != old.etag
    assert new.last_modified >= old.last_modified + timedelta(seconds=1)
    assert new.last_modified <= site.now
    # The page after it is as it was, and links to the version it knew.
    assert (
        previous(
            FeedFormat.ATOM,
            (
                await site.fetch(
                    "https://news.example/feeds/topics/%E7%A7%91%E6%8A%80/archive/2-1/atom.xml"
                )
            ).body,
        )
        == "https://news.example/feeds/topics/%E7%A7%91%E6%8A%80/archive/1-1/atom.xml"
    )
    assert set((await site.history()).values()) == titles(1, 57, 5) | {"改了"}
    assert site.redirected == 1


async def test_an_edit_of_the_newest_page_changes_what_the_feed_links_to(site: Site) -> None:
    renewal = await site.change(45, title="Edited", revision=2)
    assert (renewal.renewed, renewal.is_link_changed) == ((ArchiveName(3, 2),), True)
    assert b"/archive/3-2/atom.xml" in await site.document(FeedFormat.ATOM)
    # Being made anyway, the page links to what is there now.
    await site.change(25, title="Edited", revision=2)
    await site.change(46, title="Edited", revision=2)
    assert (
        b"/archive/2-2/atom.xml"
        in (
            await site.fetch(
                "https://news.example/feeds/topics/%E7%A7%91%E6%8A%80/archive/3-3/atom.xml"
            )
        ).body
    )


async def test_a_withdrawn_article_is_on_no_page_and_comes_back_where_it_was(site: Site) -> None:
    async with site.database.write() as session:
        gone = update(Article).where(col(Article.seq) == 30)
        await session.execute(gone.values(state=ArticleState.WITHDRAWN))
    # At once, even before anything has been published again.
    assert set((await site.history()).values()) == titles(1, 57, 30)
    renewal = await site.publish(touched=(30,))
    assert renewal.renewed == (ArchiveName(2, 2),)
    assert set((await site.history(FeedFormat.RSS)).values()) == titles(1, 57, 30)
    renewal = await site.change(30, state=ArticleState.PUBLISHED)
    assert renewal.renewed == (ArchiveName(2, 3),)
    assert set((await site.history()).values()) == titles(1, 57)


async def test_what_is_published_later_joins_pages_without_touching_the_full_ones(
    site: Site, make_article: ArticleBuilder
) -> None:
    before = [await site.open(number, 1) for number in (1, 2)]
    renewed = [
        *(
            await site.publish(*(make_article(number, id=number) for number in (58, 59, 60)))
        ).renewed,
        *(await site.publish(*(make_article(number) for number in range(61, 72)))).renewed,
    ]
    assert renewed == [ArchiveName(3, 2), ArchiveName(4, 1)]
    assert [await site.open(number, 1) for number in (1, 2)] == before
    assert len(await site.history()) == 71


async def test_a_page_that_loses_an_article_as_it_grows_is_one_new_version(
    site: Site, make_article: ArticleBuilder
) -> None:
    async with site.database.write() as session:
        gone = update(Article).where(col(Article.seq) == 50)
        await session.execute(gone.values(state=ArticleState.WITHDRAWN))
    more = [make_article(number) for number in range(58, 73)]
    renewal = await site.publish(*more, touched=(50, *range(58, 73)))
    assert renewal.renewed == (ArchiveName(3, 2), ArchiveName(4, 1))
    page = await site.open(3, 2, FeedFormat.RSS)
    assert isinstance(page, ServedDocument)
    held = entries(FeedFormat.RSS, page.body).values()
    assert set(held) == titles(41, 57, 50) | {f"Article {number}" for number in range(58, 62)}
    assert (await site.publish(touched=tuple(range(41, 73)))).renewed == ()


@pytest.mark.parametrize(("seq", "number"), [(1, 1), (20, 1), (21, 2), (40, 2), (41, 3), (57, 3)])
async def test_an_edit_touches_the_page_that_holds_the_article_and_no_other(
    site: Site, seq: int, number: int
) -> None:
    async with site.database.read() as session:
        assert await touched_archives(session, {seq, 58}) == {site.spec.key: {seq}}
    assert (await site.change(seq, revision=2)).renewed == (ArchiveName(number, 2),)


async def test_what_no_longer_belongs_to_the_feed_is_on_no_page_at_once(site: Site) -> None:
    site.spec = replace(site.spec, filter=from_selection(Selection(languages=frozenset({"zh-CN"}))))
    await site.publish()
    async with site.database.write() as session:
        chosen = update(Article).where(col(Article.seq) == 3)
        await session.execute(chosen.values(language="en"))
    assert set((await site.history(FeedFormat.JSON)).values()) == {
        f"文章 {number}" for number in range(1, 58, 2) if number != 3
    }


async def test_a_page_that_has_never_been_is_nothing(site: Site) -> None:
    assert await site.open(4, 1) is None
    assert await site.open(1, 2) is None
    assert await site.open(0, 1) is None
    assert await site.open(1, 0) is None
    site.spec = replace(site.spec, formats=(FeedFormat.RSS,))
    assert await site.open(1, 1, FeedFormat.ATOM) is None
    site.spec = replace(site.spec, archive=False)
    assert await site.open(1, 1, FeedFormat.RSS) is None


async def test_pages_are_listed_and_written_one_by_one_for_export(site: Site) -> None:
    async with site.database.read() as session:
        names = await list_pages(session, site.spec)
        pages = render_pages(session, site.spec, names, FragmentCache())
        paths = [page.path async for page in pages]
        assert await list_pages(session, replace(site.spec, archive=False)) == []
    assert names == [ArchiveName(number, 1) for number in (1, 2, 3)]
    assert len(paths) == 9
    assert paths[0] == "feeds/topics/科技/archive/1-1/rss.xml"
