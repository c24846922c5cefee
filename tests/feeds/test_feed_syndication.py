"""RSS and Atom say what an article says, to a reader that is not ours."""

import locale
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import feedparser
import pytest
from lxml import etree

from feedsvc.feeds.render import render_documents
from feedsvc.feeds.spec import FeedSpec
from feedsvc.model.article import Article
from feedsvc.model.feed import FeedFormat

ArticleBuilder = Callable[..., Article]
SpecBuilder = Callable[..., FeedSpec]

XML = [FeedFormat.RSS, FeedFormat.ATOM]
PODCAST = {"url": "https://news.example/a.mp3", "media_type": "audio/mpeg", "length_bytes": 4321}
VIDEO = {"url": "https://news.example/b.mp4", "media_type": "video/mp4", "length_bytes": 9}


def parse(body: bytes) -> Any:
    feed = feedparser.parse(body, response_headers={"content-type": "application/xml"})
    assert feed.bozo == 0, feed.get("bozo_exception")
    return feed


@pytest.fixture(params=XML, ids=[one.value for one in XML])
def render(request: pytest.FixtureRequest, make_spec: SpecBuilder) -> Callable[..., bytes]:
    """Render articles in each XML format in turn."""

    def render_one(*articles: Article, **spec: Any) -> bytes:
        rendered = render_documents(make_spec(**spec), articles)
        assert rendered.set_aside == {}
        return rendered.documents[request.param]

    return render_one


def test_a_reader_sees_the_article(render: Any, make_article: ArticleBuilder) -> None:
    article = make_article(7, authors=["Alice", "李雷"], topics=["trams", "money"])
    feed = parse(render(article))
    [entry] = feed.entries
    assert (entry.id, entry.link) == (article.guid, "https://news.example/articles/article-7")
    assert (entry.title, entry.summary) == (article.title, article.summary)
    assert entry.content[0].value == article.content
    assert [tag.term for tag in entry.tags] == ["City", "trams", "money"]
    assert {author.name for author in entry.authors} == {"Alice", "李雷"}
    assert datetime(*entry.published_parsed[:6], tzinfo=UTC) == article.published_at


def test_the_feed_says_who_it_is(render: Any, make_article: ArticleBuilder) -> None:
    feed = parse(render(make_article())).feed
    assert (feed.title, feed.subtitle) == ("Morning News", "What happened")
    assert feed.link == "https://news.example/"
    assert feed.language == "en"
    assert feed.generator == "feedsvc"
    [own] = [link.href for link in feed.links if link.rel == "self"]
    assert own.startswith("https://news.example/feeds/all/")


@pytest.mark.parametrize(
    "text",
    [
        "北京的早晨",
        "🚋 tram & <bus>",
        "a ]]> b",
        "x < y > z &amp; &lt;b&gt;",
        "\u2028line",
        '"quote"',
    ],
)
def test_any_text_arrives_as_it_was(render: Any, make_article: ArticleBuilder, text: str) -> None:
    body = render(make_article(title=text, summary=text, content="<p>北京 ]]&gt;</p>"))
    root = etree.fromstring(body)
    entry = root.find(".//item") if root.tag == "rss" else root.find("{*}entry")
    title = entry.find("title") if root.tag == "rss" else entry.find("{*}title")
    assert title.text.split() == text.split()
    [seen] = parse(body).entries
    assert seen.content[0].value == "<p>北京 ]]&gt;</p>"


def test_a_summary_is_text_and_no_markup(render: Any, make_article: ArticleBuilder) -> None:
    [entry] = parse(render(make_article(summary="a <b> & <script>x()</script>"))).entries
    assert entry.summary == "a &lt;b&gt; &amp; &lt;script&gt;x()&lt;/script&gt;"


def test_text_that_came_as_gbk_reads_as_chinese(render: Any, make_article: ArticleBuilder) -> None:
    text = "朝阳区新开一条地铁".encode("gbk").decode("gb18030")
    [entry] = parse(render(make_article(title=text, language="zh-CN"), language="zh-CN")).entries
    assert entry.title == "朝阳区新开一条地铁"


@pytest.mark.parametrize("bad", ["\x0b", "\x00", "\ufffe", "\uffff", "\ud800", "\x85", "\x1b[31m"])
def test_characters_no_feed_may_hold_are_left_out(
    render: Any, make_article: ArticleBuilder, bad: str
) -> None:
    article = make_article(title=f"a{bad}b", summary=bad, content=f"<p>{bad}</p>", authors=[bad])
    [entry] = parse(render(article, title=f"N{bad}", description=bad)).entries
    assert entry.title.startswith("a")
    assert entry.title.endswith("b")


def test_an_enclosure_is_not_the_article(render: Any, make_article: ArticleBuilder) -> None:
    [entry] = parse(render(make_article(enclosures=[PODCAST, VIDEO]))).entries
    assert entry.link == "https://news.example/articles/article-1"
    first = entry.enclosures[0]
    assert (first.href, first.type, first.length) == (PODCAST["url"], "audio/mpeg", "4321")


def test_atom_holds_all_enclosures_and_rss_the_first(
    make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    documents = render_documents(make_spec(), [make_article(enclosures=[PODCAST, VIDEO])]).documents
    urls = {
        name: [one.href for one in parse(documents[name]).entries[0].enclosures] for name in XML
    }
    assert urls == {
        FeedFormat.RSS: [PODCAST["url"]],
        FeedFormat.ATOM: [PODCAST["url"], VIDEO["url"]],
    }


def test_entries_stand_in_the_order_given(render: Any, make_article: ArticleBuilder) -> None:
    feed = parse(render(*(make_article(number) for number in (3, 1, 2))))
    assert [entry.title for entry in feed.entries] == ["Article 3", "Article 1", "Article 2"]


def test_the_feed_is_as_new_as_its_newest_entry(render: Any, make_article: ArticleBuilder) -> None:
    edited = make_article(1, updated_at=datetime(2026, 7, 1, 8, tzinfo=UTC))
    feed = parse(render(make_article(2), edited)).feed
    assert datetime(*feed.updated_parsed[:6], tzinfo=UTC) == edited.updated_at


def test_an_article_is_never_updated_before_it_was_published(
    render: Any, make_article: ArticleBuilder
) -> None:
    article = make_article()
    article.updated_at = article.published_at - timedelta(days=3)
    feed = parse(render(article)).feed
    assert datetime(*feed.updated_parsed[:6], tzinfo=UTC) == article.published_at


def test_times_are_whole_seconds_in_utc(render: Any, make_article: ArticleBuilder) -> None:
    shanghai = datetime.fromisoformat("2026-03-02T09:30:00.123456+08:00")
    body = render(make_article(published_at=shanghai, updated_at=shanghai))
    assert b"123456" not in body
    assert b"2026-03-02T01:30:00+00:00" in body or b"Mon, 02 Mar 2026 01:30:00 +0000" in body


def test_an_empty_feed_is_a_feed(render: Any) -> None:
    feed = parse(render(description=""))
    assert feed.entries == []
    assert feed.feed.updated_parsed[:3] == (2000, 1, 1)


def test_an_article_without_a_title_gets_one(render: Any, make_article: ArticleBuilder) -> None:
    [entry] = parse(render(make_article(title=" ", summary="Trams\nrun again"))).entries
    assert entry.title == "Trams run again"


def test_an_article_without_authors_is_the_sites(
    make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    body = render_documents(make_spec(), [make_article(authors=[])]).documents[FeedFormat.ATOM]
    assert parse(body).feed.author == "The News"


def test_each_entry_states_its_own_language(
    make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    articles = [make_article(1, language="zh-CN"), make_article(2, language="en")]
    documents = render_documents(make_spec(), articles).documents
    rss, atom = (etree.fromstring(documents[name]) for name in XML)
    assert [one.text for one in rss.iter("{http://purl.org/dc/elements/1.1/}language")] == [
        "zh-CN",
        "en",
    ]
    lang = "{http://www.w3.org/XML/1998/namespace}lang"
    assert [one.get(lang) for one in atom.iter("{*}entry")] == ["zh-CN", "en"]


def test_a_feed_of_summaries_holds_no_whole_text(render: Any, make_article: ArticleBuilder) -> None:
    body = render(make_article(), content="summary")
    assert b"Whole text" not in body
    assert parse(body).entries[0].summary == "Summary 1"


def test_html_is_declared_as_html(make_article: ArticleBuilder, make_spec: SpecBuilder) -> None:
    body = render_documents(make_spec(), [make_article()]).documents[FeedFormat.ATOM]
    entry = etree.fromstring(body).find("{*}entry")
    assert entry.find("{*}content").get("type") == "html"
    assert entry.find("{*}summary").get("type") == "html"


def test_rss_names_the_site_and_not_itself_as_its_link(
    make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    channel = etree.fromstring(
        render_documents(make_spec(), [make_article()]).documents[FeedFormat.RSS]
    ).find("channel")
    assert channel.findtext("link") == "https://news.example/"
    [own] = channel.findall("{http://www.w3.org/2005/Atom}link")
    assert (own.get("rel"), own.get("type")) == ("self", "application/rss+xml")
    guid = channel.find("item/guid")
    assert guid.get("isPermaLink") == "false"


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("https://例子.cn/新闻/一 二.html", "https://xn--fsqu00a.cn/%E6%96%B0%E9%97%BB"),
        ("https://news.example/a%20b?q=1&r=2#c", "https://news.example/a%20b?q=1&amp;r=2#c"),
        (None, "https://news.example/articles/%E5%8C%97%E4%BA%AC"),
    ],
    ids=["chinese", "already-written", "own-page"],
)
def test_addresses_are_written_as_uris(
    render: Any, make_article: ArticleBuilder, url: str | None, written: str
) -> None:
    assert written.encode() in render(make_article(url=url, slug="北京"))


def test_rendering_leaves_the_locale_alone(
    render: Any, make_article: ArticleBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> str:
        raise AssertionError("setlocale is for the whole process")

    monkeypatch.setattr(locale, "setlocale", refuse)
    render(make_article())


def test_only_syndication_imports_feedgen() -> None:
    package = Path(__file__).resolve().parents[2] / "feedsvc"
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(
            line.lstrip().startswith(("import feedgen", "from feedgen"))
            for line in path.read_text(encoding="utf-8").splitlines()
        )
    }
    assert users == {"feeds/writing/syndication.py"}
