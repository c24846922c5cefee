"""People find out what a feed is, subscribe to it, and are told where it went."""

import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from lxml import etree
from small_press import BASE_URL, NOW, XHTML, SmallPress, links, open_press, parse, words

from feedsvc.db.engine import Database
from feedsvc.model.feed import Feed, FeedDocument, FeedEntry
from feedsvc.web.site.feed_list import PAGE_SIZE

pytestmark = pytest.mark.anyio

FEEDS: dict[str, Any] = {
    "all": {
        "title": "全部文章",
        "description": "所有栏目 <b>& more</b>",
        "language": "zh-CN",
        "formerly": ["everything"],
    },
    "tech": {"title": "Technology", "formats": ["rss"], "sections": ["科技"], "content": "summary"},
    "radio": {
        "title": "晨间广播",
        "language": "zh-CN",
        "archive": False,
        "max_age_days": 14,
        "keep_hours": 0,
        "podcast": {"author": "示例报社", "categories": ["News"]},
    },
    "topics": {"title": "示例日报：{name}", "each": "topic", "formerly": ["tags"]},
    "sections": {"title": "Section {name}", "each": "section"},
    "authors": {"title": "By {name}", "each": "author"},
}


@asynccontextmanager
async def opened(database: Database, folder: Path) -> AsyncIterator[SmallPress]:
    """A press with feeds, families of them, one that moved and one that is retired."""
    press = await open_press(database, folder, feeds=FEEDS, retired_feeds=["sport"], newsletters={})
    transport = httpx2.ASGITransport(app=press.application)
    async with httpx2.AsyncClient(transport=transport, base_url="http://inside.test") as client:
        press.client = client
        yield press


@pytest.fixture
async def house(blank_database: Path, tmp_path: Path) -> AsyncIterator[SmallPress]:
    shutil.copy(blank_database, tmp_path)
    database = Database(f"sqlite:///{tmp_path / blank_database.name}")
    async with opened(database, tmp_path) as press:
        yield press
    await database.dispose()


async def publish(
    press: SmallPress, key: str, *slugs: str, family: str | None = None, **values: Any
) -> None:
    """Articles, and the rows that publishing them in a feed leaves."""
    articles = [await press.add_article(slug, **values) for slug in slugs]
    async with press.database.write() as session:
        value = key.partition("/")[2] if family else None
        guid = str(uuid.uuid4())
        session.add(Feed(key=key, family=family, value=value, guid=guid, created_at=NOW))
        for article in articles:
            session.add(FeedEntry(feed=key, article=article.id or 0, fragment="f"))
        for name in ("rss", "atom"):
            session.add(
                FeedDocument(
                    feed=key,
                    format=name,
                    etag="e",
                    last_modified=NOW,
                    body=b"b",
                    body_gzip=b"g",
                )
            )


def announced(response: httpx2.Response) -> list[str]:
    return [
        one.get("href").removeprefix(f"{BASE_URL}/feeds/")
        for one in parse(response).iter(f"{XHTML}link")
        if one.get("rel") == "alternate"
    ]


async def test_the_page_of_a_feed_says_what_it_is_and_how_to_subscribe(house: SmallPress) -> None:
    await publish(house, "all", "dizi", title="笛子与茶 <i>", language="zh-CN", section="文化")
    response = await house.get("/feeds/all")
    text = words(response)
    assert "全部文章" in text
    assert "所有栏目 <b>& more</b>" in text
    assert "1 in the last 30 days" in text
    assert "Chinese (Simplified, China)" in text
    assert "Whole articles" in text
    assert "The newest 50 articles, and all of the last 3 hours" in text
    assert "archive pages" in text
    assert "笛子与茶 <i>" in text
    assert "/articles/dizi" in links(response)
    assert "/feeds.opml" in links(response)
    page = parse(response)
    (address,) = page.iter(f"{XHTML}input")
    assert address.get("value") == f"{BASE_URL}/feeds/all/atom.xml"
    assert address.get("readonly") is not None
    labels = [one for one in page.iter(f"{XHTML}label") if one.get("for") == address.get("id")]
    assert len(labels) == 1
    (heading,) = page.iter(f"{XHTML}h1")
    assert heading.get("lang") == "zh-CN"
    assert announced(response) == ["all/atom.xml", "all/rss.xml", "all/feed.json"]


async def test_common_readers_open_it_with_one_click(house: SmallPress) -> None:
    page = parse(await house.get("/feeds/all"))
    outside = [
        one
        for one in page.iter(f"{XHTML}a")
        if not one.get("href").startswith(("/", BASE_URL, "#"))
    ]
    quoted = "https%3A%2F%2Fnews.example.com%2Ffeeds%2Fall%2Fatom.xml"
    assert [one.get("href") for one in outside] == [
        f"https://feedly.com/i/subscription/feed/{quoted}",
        f"https://www.inoreader.com/?add_feed={quoted}",
        f"https://theoldreader.com/feeds/subscribe?url={quoted}",
        f"https://www.newsblur.com/?url={quoted}",
        f"https://feedbin.com/?subscribe={quoted}",
        f"feed:{BASE_URL}/feeds/all/atom.xml",
    ]
    for one in outside[:-1]:
        assert {"noopener", "noreferrer"} <= set(one.get("rel").split())


async def test_a_chinese_reader_gets_the_page_in_chinese(house: SmallPress) -> None:
    await publish(house, "all", "dizi")
    response = await house.get("/feeds/all?lang=zh")
    text = words(response)
    assert "最近 30 天 1 篇" in text
    assert "中文（简体，中国）" in text
    assert "最新 50 篇，以及最近 3 小时的全部文章" in text
    assert "/articles/dizi?lang=zh" in links(response)


async def test_a_podcast_is_subscribed_to_by_its_rss(house: SmallPress) -> None:
    response = await house.get("/feeds/radio")
    text = words(response)
    (address,) = parse(response).iter(f"{XHTML}input")
    assert address.get("value") == f"{BASE_URL}/feeds/radio/rss.xml"
    assert "podcast player" in text
    assert "none older than 14 days" in text
    assert "and all of the last" not in text
    assert "Not in the feed" in text
    assert announced(response)[0] == "radio/rss.xml"


async def test_a_feed_of_excerpts_in_one_format_says_so(house: SmallPress) -> None:
    response = await house.get("/feeds/tech")
    text = words(response)
    assert "Excerpts, with a link to each article" in text
    assert "Other formats" not in text
    assert "There are no articles in this feed at the moment." in text
    assert "None yet." in text


async def test_how_often_articles_come_is_said_as_far_as_it_is_known(house: SmallPress) -> None:
    await publish(
        house, "tech", *(f"t{n}" for n in range(3)), published_at=NOW - timedelta(days=90)
    )
    assert "None in the last 30 days; the newest is of 24 August 2026." in words(
        await house.get("/feeds/tech")
    )
    # The feed holds 50 articles and all of them are new: what came before them is not known.
    await publish(house, "all", *(f"a{n}" for n in range(50)), published_at=NOW - timedelta(days=2))
    assert "50 since 20 November 2026" in words(await house.get("/feeds/all"))
    # Articles leave this one after 14 days, so it cannot tell of thirty.
    await publish(house, "radio", "r1")
    assert "1 in the last 14 days" in words(await house.get("/feeds/radio"))


async def test_the_page_shows_the_newest_entries_and_no_others(house: SmallPress) -> None:
    await publish(house, "all", *(f"a{n}" for n in range(20)))
    await house.add_article("elsewhere")
    shown = [one for one in links(await house.get("/feeds/all")) if one.startswith("/articles/")]
    assert shown == [f"/articles/a{n}" for n in range(19, 4, -1)]


async def test_members_of_a_family_have_pages_under_their_names(house: SmallPress) -> None:
    await publish(house, "topics/科技", "chip", family="topics")
    listed = await house.get("/feeds/topics")
    assert "示例日报：科技" in words(listed)
    assert "/feeds/topics/%E7%A7%91%E6%8A%80" in links(listed)
    response = await house.get("/feeds/topics/%E7%A7%91%E6%8A%80")
    assert response.status_code == 200
    assert "示例日报：科技" in words(response)
    assert announced(response)[0] == "topics/%E7%A7%91%E6%8A%80/atom.xml"
    (canonical,) = [
        one.get("href")
        for one in parse(response).iter(f"{XHTML}link")
        if one.get("rel") == "canonical"
    ]
    assert canonical == f"{BASE_URL}/feeds/topics/%E7%A7%91%E6%8A%80"
    assert (await house.get("/feeds/topics/体育")).status_code == 404


async def test_a_family_is_listed_page_by_page(house: SmallPress) -> None:
    async with house.database.write() as session:
        for number in range(PAGE_SIZE + 1):
            key = f"topics/t{number:03}"
            session.add(
                Feed(
                    key=key,
                    family="topics",
                    value=f"t{number:03}",
                    guid=str(uuid.uuid4()),
                    created_at=NOW,
                )
            )
            session.add(FeedEntry(feed=key, article=1, fragment="f"))
            session.add(
                FeedDocument(
                    feed=key, format="rss", etag="e", last_modified=NOW, body=b"", body_gzip=b""
                )
            )
    first = await house.get("/feeds/topics")
    assert "1 to 200 of 201 feeds" in words(first)
    assert "/feeds/topics?page=2" in links(first)
    second = await house.get("/feeds/topics?page=2")
    assert [one for one in links(second) if one.startswith("/feeds/topics/")] == [
        "/feeds/topics/t200"
    ]
    assert (await house.get("/feeds/topics?page=3")).status_code == 404
    assert (await house.get("/feeds/topics?page=0")).status_code == 422
    everything = await house.get("/feeds")
    assert "201 feeds" in words(everything)
    assert len(everything.content) < 100_000


async def test_a_member_that_holds_nothing_any_more_answers_and_is_not_listed(
    house: SmallPress,
) -> None:
    await publish(house, "topics/科技", family="topics")
    await publish(house, "topics/旧", "old", family="topics")
    assert (await house.get("/feeds/topics/科技")).status_code == 200
    assert "1 to 1 of 1 feeds" in words(await house.get("/feeds/topics"))
    assert "科技" not in (await house.get("/feeds.opml")).text


async def test_a_family_without_members_says_when_they_come(house: SmallPress) -> None:
    assert "They appear with the first articles" in words(await house.get("/feeds/topics"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/feeds/everything", "/feeds/all"),
        ("/feeds/tags", "/feeds/topics"),
        ("/feeds/tags/%E7%A7%91%E6%8A%80", "/feeds/topics/%E7%A7%91%E6%8A%80"),
        ("/feeds/everything?lang=zh", "/feeds/all?lang=zh"),
        ("/feeds/", "/feeds"),
        ("/feeds/all/", "/feeds/all"),
        ("/feeds/topics/x/", "/feeds/topics/x"),
    ],
)
async def test_old_names_and_slashes_too_many_lead_to_the_page(
    house: SmallPress, old: str, new: str
) -> None:
    response = await house.get(old, host="evil.example")
    assert (response.status_code, response.headers["location"]) == (301, new)


@pytest.mark.parametrize("path", ["/feeds/sport", "/feeds/sport/football"])
async def test_a_retired_feed_says_that_it_is_gone_and_where_to_go(
    house: SmallPress, path: str
) -> None:
    response = await house.get(path)
    assert response.status_code == 410
    assert "This feed is no more" in words(response)
    assert {"/feeds", "/"} <= set(links(response))
    assert "这个订阅源已停用" in words(await house.get(f"{path}?lang=zh"))


@pytest.mark.parametrize(
    "path",
    ["/feeds/nothing", "/feeds/all/nothing", "/feeds/a/b/c", f"/feeds/{'x' * 300}", "/feeds/a%00b"],
)
async def test_what_never_was_a_feed_is_not_found(house: SmallPress, path: str) -> None:
    assert (await house.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/feeds", "/feeds/all", "/feeds/topics", "/feeds.opml"])
async def test_pages_about_feeds_can_be_kept_and_asked_about(house: SmallPress, path: str) -> None:
    first = await house.get(path)
    assert first.status_code == 200
    assert first.headers["cache-control"].startswith("public")
    again = await house.get(path, **{"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = await house.client.head(path)
    assert (head.status_code, head.headers["etag"]) == (200, first.headers["etag"])


async def test_the_list_shows_every_feed_with_one_address(house: SmallPress) -> None:
    await publish(house, "topics/科技", "chip", family="topics")
    response = await house.get("/feeds")
    text = words(response)
    assert f"{BASE_URL}/feeds/all/atom.xml" in text
    assert f"{BASE_URL}/feeds/radio/rss.xml" in text
    assert "By topic 1 feed 示例日报：科技" in text
    assert "By section" not in text
    assert {"/feeds/all", "/feeds/topics/%E7%A7%91%E6%8A%80", "/feeds.opml"} <= set(links(response))
    assert "按主题 1 个订阅源" in words(await house.get("/feeds?lang=zh"))


async def test_all_feeds_are_in_the_opml(house: SmallPress) -> None:
    await publish(house, "topics/科技", "chip", family="topics")
    response = await house.get("/feeds.opml")
    assert response.headers["content-type"] == "text/x-opml; charset=utf-8"
    assert 'filename="news.example.com.opml"' in response.headers["content-disposition"]
    tree = etree.fromstring(response.content)
    addresses = [one.get("xmlUrl") for one in tree.iter("outline") if one.get("xmlUrl")]
    assert addresses == [
        f"{BASE_URL}/feeds/all/atom.xml",
        f"{BASE_URL}/feeds/tech/rss.xml",
        f"{BASE_URL}/feeds/radio/rss.xml",
        f"{BASE_URL}/feeds/topics/%E7%A7%91%E6%8A%80/atom.xml",
    ]
    (group,) = tree.xpath("//outline[outline]")
    assert (group.get("text"), group[0].get("text")) == ("By topic", "示例日报：科技")


async def test_every_page_announces_the_main_feed_and_one_format_of_the_others(
    house: SmallPress,
) -> None:
    for path in ("/", "/feeds", "/nowhere"):
        assert announced(await house.get(path)) == [
            "all/atom.xml",
            "all/rss.xml",
            "all/feed.json",
            "tech/rss.xml",
            "radio/rss.xml",
        ]


async def test_an_article_announces_its_own_feeds_first(house: SmallPress) -> None:
    await publish(house, "topics/科技", "x", family="topics")
    await publish(house, "topics/other", "y", family="topics")
    await publish(house, "sections/news", "z", family="sections")
    await publish(house, "authors/李雷", "w", family="authors")
    await house.add_article("a", section="news", topics=["科技", "unknown"], authors=["李雷"])
    response = await house.get("/articles/a")
    assert announced(response)[:4] == [
        "sections/news/atom.xml",
        "topics/%E7%A7%91%E6%8A%80/atom.xml",
        "authors/%E6%9D%8E%E9%9B%B7/atom.xml",
        "all/atom.xml",
    ]
    assert len(announced(response)) <= 12
    assert "/feeds/authors/%E6%9D%8E%E9%9B%B7" in links(response)


async def test_a_section_announces_its_feed_first(house: SmallPress) -> None:
    await publish(house, "sections/news", "z", family="sections", section="news")
    response = await house.get("/?section=news")
    assert announced(response)[:2] == ["sections/news/atom.xml", "all/atom.xml"]
    assert "/feeds/sections/news" in links(response)
    # A feed of the configuration that is of this section alone.
    response = await house.get("/?section=科技")
    assert announced(response)[0] == "tech/rss.xml"
    assert announced(response).count("tech/rss.xml") == 1


async def test_pages_about_feeds_need_nobody_else(house: SmallPress) -> None:
    await publish(house, "all", *(f"a{n}" for n in range(20)), summary="字" * 240)
    for path in ("/feeds", "/feeds/all", "/feeds/topics"):
        response = await house.get(path)
        page = parse(response)
        assert not list(page.iter(f"{XHTML}script"))
        assert not [one for one in page.iter() if one.get("src")]
        assert len(response.content) < 80_000


async def test_every_page_about_feeds_is_the_same_on_each_database(
    database: Database, tmp_path: Path
) -> None:
    async with opened(database, tmp_path) as press:
        await publish(press, "all", *(f"a{n}" for n in range(3)), section="news", topics=["科技"])
        await publish(press, "topics/科技", "chip", family="topics")
        await publish(press, "sections/news", "z", family="sections", section="news")
        told = {
            "/feeds": "By topic 1 feed",
            "/feeds/all": "3 in the last 30 days",
            "/feeds/topics": "1 to 1 of 1 feeds",
            "/feeds/topics/科技": "1 in the last 30 days",
            "/feeds/tech": "None yet.",
            "/articles/a1": "示例日报：科技",
            "/?section=news": "Feed of this section",
        }
        for path, part in told.items():
            assert part in words(await press.get(path)), path
        assert (
            len(etree.fromstring((await press.get("/feeds.opml")).content).xpath("//@xmlUrl")) == 5
        )
