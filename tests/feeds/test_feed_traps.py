"""Where feedgen's own output would be refused or misread, ours is not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import feedparser
import pytest
from feed_writing import AUDIO, EPISODE, PODCAST, UNKNOWN, VIDEO, archive_links, write_feed
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from feedsvc.feeds.spec import FeedSpec
from feedsvc.feeds.writing.entries import EMPTY_FEED_AT, Links, read_entry
from feedsvc.feeds.writing.syndication import full_document
from feedsvc.model.article import Article
from feedsvc.model.feed import FeedFormat

ArticleBuilder = Callable[..., Article]
SpecBuilder = Callable[..., FeedSpec]

RSS, ATOM = FeedFormat.RSS, FeedFormat.ATOM
NAMES = {
    "atom": "http://www.w3.org/2005/Atom",
    "content": "http://purl.org/rss/1.0/modules/content/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "dcterms": "http://purl.org/dc/terms/",
    "fh": "http://purl.org/syndication/history/1.0",
    "media": "http://search.yahoo.com/mrss/",
}
HUBS = ("https://news.example/hub", "https://hub.example/")


@pytest.fixture
def write(make_spec: SpecBuilder) -> Callable[..., Any]:
    """Write a feed and answer its RSS channel and its Atom feed."""

    def write_both(*articles: Article, links: Links | None = None, **spec: Any) -> tuple[Any, Any]:
        written = write_feed(make_spec(**spec), articles, links)
        return etree.fromstring(written[RSS]).find("channel"), etree.fromstring(written[ATOM])

    return write_both


def links_of(element: Any) -> list[tuple[str, str]]:
    """Relation and address of the Atom links of an element."""
    found = element.findall("atom:link", NAMES)
    return [(link.get("rel"), link.get("href")) for link in found]


def attributes(element: Any, path: str) -> list[dict[str, str]]:
    return [dict(one.attrib) for one in element.findall(path, NAMES)]


def test_hubs_are_named_in_both_formats(write: Any) -> None:
    channel, feed = write(links=Links(hubs=HUBS))
    hubs = [("hub", hub) for hub in HUBS]
    own = "https://news.example/feeds/all/"
    assert links_of(channel) == [("self", f"{own}rss.xml"), *hubs]
    alternate = ("alternate", "https://news.example/")
    assert links_of(feed) == [("self", f"{own}atom.xml"), *hubs, alternate]
    assert channel.findtext("link") == "https://news.example/"


def test_an_archive_page_names_its_neighbours_and_its_feed(
    make_spec: SpecBuilder, make_article: ArticleBuilder
) -> None:
    for feed_format, name in ((RSS, "rss.xml"), (ATOM, "atom.xml")):
        links, own = archive_links(feed_format), "https://news.example/feeds/all/archive/2-1/"
        spec = make_spec(formats=(feed_format,))
        body = write_feed(spec, [make_article()], links, f"{own}{name}")[feed_format]
        root = etree.fromstring(body)
        head = root.find("channel") if feed_format is RSS else root
        said = dict(links_of(head))
        assert said["self"] == f"{own}{name}"
        assert said["prev-archive"] == f"https://news.example/feeds/all/archive/1-1/{name}"
        assert said["next-archive"] == f"https://news.example/feeds/all/archive/3-1/{name}"
        assert said["current"] == f"https://news.example/feeds/all/{name}"
        assert len(head.findall("fh:archive", NAMES)) == 1


def test_a_feed_with_archives_is_none_itself(write: Any) -> None:
    for head in write(links=Links(previous_archive="https://news.example/1")):
        assert ("prev-archive", "https://news.example/1") in links_of(head)
        assert head.find("fh:archive", NAMES) is None


def test_a_feed_and_its_pages_are_one_feed_wherever_it_moves(
    make_spec: SpecBuilder,
) -> None:
    def identity(links: Links | None = None, **values: Any) -> Any:
        feed = write_feed(make_spec(formats=(ATOM,), **values), [], links)[ATOM]
        return etree.fromstring(feed).findtext("atom:id", namespaces=NAMES)

    guid = "9b024349-ccf0-5f69-a609-6b82873eab3c"
    assert identity(guid=guid) == identity(guid=guid, key="moved") == f"urn:uuid:{guid}"
    assert identity(archive_links(ATOM)) == identity() == "https://news.example/feeds/all/atom.xml"


def test_links_of_entries_keep_all_they_say(write: Any, make_article: ArticleBuilder) -> None:
    # python-feedgen #135
    _, feed = write(make_article(enclosures=[AUDIO, UNKNOWN]))
    own, audio, unknown = attributes(feed, "atom:entry/atom:link")
    assert own["rel"], own["type"] == ("alternate", "text/html")
    assert audio == {
        "href": "https://news.example/a.mp3",
        "rel": "enclosure",
        "type": "audio/mpeg",
        "length": "4321",
    }
    assert "length" not in unknown


def test_a_length_nobody_knows_is_zero_in_rss(write: Any, make_article: ArticleBuilder) -> None:
    channel, _ = write(make_article(enclosures=[UNKNOWN]))
    [enclosure] = attributes(channel, "item/enclosure")
    assert enclosure["length"] == "0"


def test_rss_holds_one_enclosure_and_the_others_as_media(
    write: Any, make_article: ArticleBuilder
) -> None:
    book = {"url": "https://n.example/a.epub", "media_type": "application/epub+zip"}
    article = make_article(enclosures=[AUDIO, VIDEO, UNKNOWN, {**book, "length_bytes": 7}])
    channel, feed = write(article)
    assert [one["url"] for one in attributes(channel, "item/enclosure")] == [AUDIO["url"]]
    assert attributes(channel, "item/media:content") == [
        {"url": VIDEO["url"], "type": "video/mp4", "fileSize": "9", "medium": "video"},
        {
            "url": "https://news.example/%E7%AC%AC1%E9%9B%86.m4a",
            "type": "audio/mp4",
            "medium": "audio",
        },
        {
            "url": book["url"],
            "type": "application/epub+zip",
            "fileSize": "7",
            "medium": "document",
        },
    ]
    assert channel.find(".//media:group", NAMES) is None
    assert feed.find(".//media:content", NAMES) is None


def test_a_file_is_listed_once(write: Any, make_article: ArticleBuilder) -> None:
    channel, feed = write(make_article(enclosures=[AUDIO, VIDEO, AUDIO]))
    assert len(attributes(channel, "item/media:content")) == 1
    assert len(attributes(feed, "atom:entry/atom:link[@rel='enclosure']")) == 2


@pytest.mark.parametrize("feed_format", [RSS, ATOM])
def test_a_reader_sees_the_picture(
    make_article: ArticleBuilder, make_spec: SpecBuilder, feed_format: FeedFormat
) -> None:
    article = make_article(image="https://news.example/图.jpg", enclosures=[AUDIO])
    [entry] = feedparser.parse(write_feed(make_spec(), [article])[feed_format]).entries
    address = "https://news.example/%E5%9B%BE.jpg"
    assert entry.media_thumbnail == [{"url": address}]
    assert entry.media_content == [{"url": address, "medium": "image"}]
    assert [one.href for one in entry.enclosures] == [AUDIO["url"]]


@pytest.mark.parametrize(
    ("name", "in_rss"),
    [("a.png", True), ("a.JPG?x=b.c", True), ("logo", True), ("a.webp", False), ("a.svg?v", False)],
)
def test_a_feed_shows_its_picture(write: Any, name: str, in_rss: bool) -> None:
    channel, feed = write(image=f"https://news.example/{name}", title="晨报 & <News>")
    address = f"https://news.example/{name}"
    for path in ("atom:icon", "atom:logo"):
        assert feed.findtext(path, namespaces=NAMES) == address
    image = channel.find("image")
    assert (image is not None) == in_rss
    if image is not None:
        said = [(one.tag, one.text) for one in image]
        home = "https://news.example/"
        assert said == [("url", address), ("title", "晨报 & <News>"), ("link", home)]


def test_each_author_is_named(write: Any, make_article: ArticleBuilder) -> None:
    channel, feed = write(make_article(authors=["Smith, Jane", "李雷", "Smith, Jane"]))
    creators = channel.findall("item/dc:creator", NAMES)
    names = feed.findall("atom:entry/atom:author/atom:name", NAMES)
    assert [one.text for one in creators] == [one.text for one in names] == ["Smith, Jane", "李雷"]
    assert channel.find("item/author") is None


def test_an_edit_shows_beside_the_date(write: Any, make_article: ArticleBuilder) -> None:
    at = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
    edited = make_article(2, published_at=at, updated_at=at + timedelta(days=1))
    channel, feed = write(make_article(1, published_at=at, updated_at=at), edited)
    plain, changed = channel.findall("item")
    assert plain.find("dcterms:modified", NAMES) is None
    assert changed.findtext("pubDate") == "Mon, 02 Mar 2026 01:30:00 +0000"
    assert changed.findtext("dcterms:modified", namespaces=NAMES) == "2026-03-03T01:30:00+00:00"
    entry = feed.findall("atom:entry", NAMES)[1]
    assert entry.findtext("atom:published", namespaces=NAMES) == "2026-03-02T01:30:00+00:00"
    assert entry.findtext("atom:updated", namespaces=NAMES) == "2026-03-03T01:30:00+00:00"


def test_a_summary_stands_beside_the_text(write: Any, make_article: ArticleBuilder) -> None:
    channel, feed = write(make_article(summary="Short", content="<p>Long</p>"))
    assert channel.findtext("item/description") == "Short"
    assert channel.findtext("item/content:encoded", namespaces=NAMES) == "<p>Long</p>"
    assert feed.findtext("atom:entry/atom:summary", namespaces=NAMES) == "Short"
    assert feed.findtext("atom:entry/atom:content", namespaces=NAMES) == "<p>Long</p>"


@pytest.mark.parametrize("feed_format", [RSS, ATOM])
def test_a_text_without_a_summary_is_read(
    make_article: ArticleBuilder, make_spec: SpecBuilder, feed_format: FeedFormat
) -> None:
    article = make_article(summary="", content="<p>a<br>b &nbsp; ]]&gt;</p>")
    [entry] = feedparser.parse(write_feed(make_spec(), [article])[feed_format]).entries
    seen = entry.content[0].value if "content" in entry else entry.summary
    assert seen.replace("<br />", "<br>").startswith("<p>a<br>b")
    assert seen.endswith("]]&gt;</p>")


def test_html_is_never_cdata(make_article: ArticleBuilder, make_spec: SpecBuilder) -> None:
    # CDATA is no Atom type (python-feedgen #123).
    body = write_feed(make_spec(), [make_article(content="<p>]]></p>")])[ATOM]
    assert b"CDATA" not in body
    texts = etree.fromstring(body).xpath(
        "//a:content | //a:summary", namespaces={"a": NAMES["atom"]}
    )
    assert {one.get("type") for one in texts} == {"html"}


def test_what_feedgen_writes_wrongly_is_not_asked_of_it(
    make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    article = make_article(enclosures=[AUDIO], extra=EPISODE)
    written = write_feed(make_spec(podcast=PODCAST), [article])
    for wrong in (b"textInput", b"sy:", b"None", b"<itunes:explicit>yes", b">no<", b"media:group"):
        assert wrong not in written[RSS]
        assert wrong not in written[ATOM]


def test_categories_are_names(write: Any, make_article: ArticleBuilder) -> None:
    channel, feed = write(make_article(section="科技", topics=["a & b", "科技"]))
    assert [one.text for one in channel.findall("item/category")] == ["科技", "a & b"]
    terms = [{"term": "科技"}, {"term": "a & b"}]
    assert attributes(feed, "atom:entry/atom:category") == terms


def test_prefixes_are_declared_once_however_much_is_said(
    make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    rich = make_article(
        2, image="https://n.example/a.png", enclosures=[AUDIO, VIDEO], extra=EPISODE
    )
    for podcast in (None, PODCAST):
        for articles in ([], [make_article(1)], [rich, make_article(1)]):
            written = write_feed(make_spec(podcast=podcast), articles)
            assert written[RSS].count(b"xmlns:") == (8 if podcast else 6)
            assert written[ATOM].count(b"xmlns") == 3


FACTS = st.fixed_dictionaries(
    {
        "enclosures": st.lists(st.sampled_from([AUDIO, VIDEO, UNKNOWN]), max_size=3),
        "image": st.sampled_from([None, "https://news.example/图.png"]),
        "extra": st.sampled_from([{}, EPISODE, {"episode": 4}, {"explicit": False}]),
        "authors": st.lists(st.text(max_size=5), max_size=3),
        "updated_at": st.integers(0, 2**31).map(lambda at: datetime.fromtimestamp(at, UTC)),
    }
)


@settings(max_examples=50, deadline=None)
@given(
    facts=st.lists(FACTS, max_size=4),
    podcast=st.sampled_from([None, PODCAST]),
    image=st.sampled_from([None, "https://news.example/a.png"]),
    links=st.builds(
        Links,
        hubs=st.lists(st.sampled_from(HUBS), unique=True, max_size=2).map(tuple),
        previous_archive=st.sampled_from([None, "https://news.example/1"]),
        next_archive=st.sampled_from([None, "https://news.example/3"]),
        current=st.sampled_from([None, "https://news.example/feed"]),
    ),
)
def test_fragments_with_media_equal_a_full_run(
    make_article: ArticleBuilder,
    make_spec: SpecBuilder,
    facts: list[dict[str, Any]],
    podcast: Any,
    image: str | None,
    links: Links,
) -> None:
    articles = [make_article(number, **one) for number, one in enumerate(facts, 1)]
    spec = make_spec(podcast=podcast, image=image)
    assert write_feed(spec, articles, links) == write_feed(spec, articles, links)


def test_writing_an_entry_twice_changes_nothing_in_it(
    make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    spec = make_spec(podcast=PODCAST)
    article = make_article(enclosures=[AUDIO, VIDEO], extra=EPISODE)
    entry, head = read_entry(article, spec.base_url, "full"), spec.head(RSS, EMPTY_FEED_AT)
    assert full_document(RSS, head, [entry, entry]) == full_document(RSS, head, [entry, entry])
    assert entry == read_entry(article, spec.base_url, "full")
