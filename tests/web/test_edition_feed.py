"""Past editions as a feed: what feed readers are told, when they are told it again, and when not.

The documents are read by feedparser and looked at by the check that guards all our feeds.
"""

from datetime import timedelta
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any

import feedparser
import pytest
from past_editions import WEEK, Mail, add_edition, change, change_newsletter, withdraw
from small_press import BASE_URL, NOW, XHTML, SmallPress, parse

from feedsvc.feeds.documents.check import check_document
from feedsvc.model.article import Article
from feedsvc.model.edition import Edition, EditionKind, EditionState
from feedsvc.model.feed import FeedFormat
from feedsvc.web.site.edition_feed import WINDOW

pytestmark = pytest.mark.anyio

PATH = "/newsletters/daily/editions"
TAG = "tag:news.example.com,2026-11-15:newsletters/daily/editions"
MEDIA_TYPES = {
    "atom": "application/atom+xml; charset=utf-8",
    "rss": "application/rss+xml; charset=utf-8",
    "json": "application/feed+json; charset=utf-8",
}


async def read(press: SmallPress) -> Any:
    """The Atom document as feedparser reads it; any mistake in it fails the test."""
    response = await press.get(f"{PATH}.atom")
    assert response.status_code == 200
    feed = feedparser.parse(response.content)
    assert not feed.bozo
    return feed


async def test_an_edition_is_an_entry_with_its_headlines(press: SmallPress) -> None:
    first = await press.add_article(
        "a", title="夜市 <回来> & 了", url="https://else.example/a?x=1&y"
    )
    second = await press.add_article("b", title="笛子与茶")
    beyond = await press.add_article("c", title="河边音乐会")
    number = await add_edition(press, Mail(articles=[first, second], more=[beyond]))
    feed = await read(press)
    assert feed.feed.title == "晨报"
    assert feed.feed.link == f"{BASE_URL}/newsletters/daily"
    (entry,) = feed.entries
    assert entry.title == "晨报：夜市回来了"
    assert entry.link == f"{BASE_URL}{PATH}/{number}"
    assert entry.id == f"{TAG}/{number}"
    content = entry.content[0].value
    assert '<a href="https://else.example/a?x=1&amp;y">夜市 &lt;回来&gt; &amp; 了</a>' in content
    assert f'<a href="{BASE_URL}/articles/b">笛子与茶</a>' in content
    assert content.index("笛子与茶") < content.index("河边音乐会")
    assert entry.published_parsed[:5] == (2026, 11, 15, 0, 0)
    assert entry.updated_parsed[:5] == (2026, 11, 15, 0, 1)


@pytest.mark.parametrize("ending", ["atom", "rss", "json"])
async def test_every_format_passes_the_check_of_our_feeds(press: SmallPress, ending: str) -> None:
    article = await press.add_article("a", title="\x0b夜市\ufffe")
    numbers = [await add_edition(press, Mail(subject="\x00", articles=[article]))]
    letter = {"audience": {}, "body": "# 搬家\n\n我们搬到 <script>alert(1)</script> 河边。"}
    numbers.append(
        await add_edition(
            press, Mail(), kind=EditionKind.ANNOUNCEMENT, schedule=None, letter=letter
        )
    )
    response = await press.get(f"{PATH}.{ending}")
    assert response.headers["content-type"] == MEDIA_TYPES[ending]
    guids = [f"{TAG}/{number}" for number in reversed(numbers)]
    assert check_document(FeedFormat(ending), response.content, guids) is None
    if ending == "json":
        content = response.json()["items"][0]["content_html"]
    else:
        content = (
            feedparser.parse(response.content, sanitize_html=False).entries[0].content[0].value
        )
    assert "河边" in content
    assert "<h2>搬家</h2>" in content
    assert "<script" not in content


@pytest.mark.parametrize("ending", ["atom", "rss", "json"])
async def test_a_feed_without_editions_is_a_feed(press: SmallPress, ending: str) -> None:
    response = await press.get(f"{PATH}.{ending}")
    assert check_document(FeedFormat(ending), response.content, []) is None


async def test_the_newest_editions_are_in_it_and_those_of_others_are_not(press: SmallPress) -> None:
    numbers = [
        await add_edition(press, due_at=NOW - timedelta(hours=100 - hour))
        for hour in range(WINDOW + 2)
    ]
    await add_edition(press, newsletter="weekly")
    await add_edition(press, state=EditionState.SKIPPED)
    feed = await read(press)
    found = [int(one.link.rpartition("/")[2]) for one in feed.entries]
    assert found == numbers[:1:-1]


async def test_whoever_has_it_gets_no_second_copy(press: SmallPress) -> None:
    await add_edition(press)
    first = await press.get(f"{PATH}.atom")
    headers = first.headers
    assert headers["cache-control"] == "public, max-age=300"
    for known in (
        {"if-none-match": headers["etag"]},
        {"if-none-match": f"W/{headers['etag']}"},
        {"if-modified-since": headers["last-modified"]},
    ):
        again = await press.get(f"{PATH}.atom", **known)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == headers["etag"]
    assert (await press.get(f"{PATH}.rss")).headers["etag"] != headers["etag"]


async def test_it_is_compressed_for_those_who_read_that(press: SmallPress) -> None:
    await add_edition(press)
    plain = await press.get(f"{PATH}.atom", **{"accept-encoding": "identity"})
    packed = await press.get(f"{PATH}.atom", **{"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content
    assert packed.headers["etag"] != plain.headers["etag"]
    assert "Accept-Encoding" in packed.headers["vary"]


async def test_what_is_withdrawn_is_out_of_the_feed_at_once(press: SmallPress) -> None:
    bad = await press.add_article("bad", title="市长受贿")
    good = await press.add_article("good", title="夜市回来了")
    await add_edition(press, Mail("晨报：市长受贿", articles=[bad, good]))
    before = await press.get(f"{PATH}.atom")
    assert "市长" in before.text
    await withdraw(press, bad, NOW - timedelta(days=1))
    for ending in MEDIA_TYPES:
        assert "市长" not in (await press.get(f"{PATH}.{ending}")).text
    (entry,) = (await read(press)).entries
    assert entry.title == "晨报，2026年11月15日"
    assert "夜市回来了" in entry.content[0].value
    assert "已撤回 1 篇文章。" in entry.content[0].value
    assert entry.updated_parsed[:3] == (2026, 11, 21)
    assert entry.published_parsed[:3] == (2026, 11, 15)


async def test_each_version_has_a_tag_and_a_date_of_its_own(press: SmallPress) -> None:
    article = await press.add_article("a", title="夜市回来了")
    number = await add_edition(press, Mail(articles=[article]))
    newest = await add_edition(press, due_at=NOW - timedelta(days=1))
    versions = [await press.get(f"{PATH}.atom")]
    await change(press, Article, article.id, title="夜市没有回来", revision=2, revised_at=NOW)
    versions.append(await press.get(f"{PATH}.atom"))
    await change(press, Edition, newest, state=EditionState.PAUSED)
    versions.append(await press.get(f"{PATH}.atom"))
    await change(press, Edition, number, state=EditionState.PAUSED)
    versions.append(await press.get(f"{PATH}.atom"))
    dates = [parsedate_to_datetime(one.headers["last-modified"]) for one in versions]
    assert dates == sorted(set(dates))
    assert len({one.headers["etag"] for one in versions}) == len(versions)
    for old, new in pairwise(versions):
        known = {"if-modified-since": old.headers["last-modified"]}
        press.now = NOW + WEEK
        assert (await press.get(f"{PATH}.atom", **known)).status_code == 200
        assert new.content != old.content


async def test_an_edited_article_does_not_make_its_edition_new(press: SmallPress) -> None:
    article = await press.add_article("a", title="夜市回来了")
    await add_edition(press, Mail(articles=[article]))
    before = (await read(press)).entries[0].updated
    await change(press, Article, article.id, title="夜市没有回来", revision=2, revised_at=NOW)
    (entry,) = (await read(press)).entries
    assert "没有" in entry.content[0].value
    assert entry.updated == before


async def test_it_is_announced_on_the_pages_of_the_newsletter(press: SmallPress) -> None:
    number = await add_edition(press)
    for path in ("/newsletters/daily", PATH, f"{PATH}/{number}"):
        page = parse(await press.get(path))
        announced = [
            (one.get("type"), one.get("href"))
            for one in page.iter(f"{XHTML}link")
            if one.get("rel") == "alternate"
        ]
        assert announced[:3] == [
            ("application/atom+xml", f"{BASE_URL}{PATH}.atom"),
            ("application/rss+xml", f"{BASE_URL}{PATH}.rss"),
            ("application/feed+json", f"{BASE_URL}{PATH}.json"),
        ]


async def test_a_title_that_no_feed_can_hold_is_written_otherwise(press: SmallPress) -> None:
    await add_edition(press)
    await change_newsletter(press, "daily", title="\ufffe", sender="\x07")
    feed = await read(press)
    assert feed.feed.title == "daily"
