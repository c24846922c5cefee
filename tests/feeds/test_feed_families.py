"""One feed for each topic, language, newsletter …: who gets one, under which address, for ever."""

import asyncio
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select, update
from sqlmodel import col
from structlog.testing import capture_logs

from feedsvc.articles.changed import mark_changed
from feedsvc.db.engine import Database
from feedsvc.feeds.changes import (
    ChangedArticle,
    asks_for_text,
    load_changed,
    load_holders,
    touched_feeds,
)
from feedsvc.feeds.families import (
    MOST_MEMBERS,
    Family,
    Named,
    load_specs,
    member_key,
    member_spec,
    plan_members,
    plan_rows,
)
from feedsvc.feeds.registry import FeedRow, podcast_guid
from feedsvc.feeds.spec import FeedSpec
from feedsvc.kit.filters import parse_filter
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.feed import Feed, FeedEntry

pytestmark = pytest.mark.anyio
ArticleBuilder = Callable[..., Article]
SpecBuilder = Callable[..., FeedSpec]

NOW = datetime(2026, 3, 2, tzinfo=UTC)
GUID = "00000000-0000-5000-8000-000000000001"


@pytest.fixture
def make_family(make_spec: SpecBuilder) -> Callable[..., Family]:
    def make(key: str = "topics", each: Any = "topic", **values: Any) -> Family:
        return Family(key, each, make_spec(**{"key": key, "title": "News", **values}))

    return make


FamilyBuilder = Callable[..., Family]


async def save(database: Database, *articles: Article) -> None:
    """Store articles as a publication does it."""
    async with database.write() as session:
        session.add_all(articles)
        await session.flush()
        await mark_changed(session, [one.id or 0 for one in articles])


async def change(database: Database, article_id: int, **values: Any) -> None:
    async with database.write() as session:
        await session.execute(update(Article).where(col(Article.id) == article_id).values(**values))
        await mark_changed(session, [article_id])


async def load(
    database: Database,
    *families: Family,
    specs: Iterable[FeedSpec] = (),
    names: dict[str, Named] | None = None,
) -> dict[str, FeedSpec]:
    async with database.write() as session:
        loaded = await load_specs(session, list(specs), families, names, NOW)
    assert len({spec.key for spec in loaded}) == len(loaded)
    return {spec.key: spec for spec in loaded}


async def test_each_topic_of_a_published_article_has_a_feed(
    database: Database, make_article: ArticleBuilder, make_family: FamilyBuilder
) -> None:
    await save(
        database,
        make_article(1, topics=["科技", "Night Trams"]),
        make_article(2, topics=["科技"]),
        make_article(3, topics=["hidden"], seq=None, state=ArticleState.SCHEDULED),
        make_article(4, topics=["gone"], state=ArticleState.WITHDRAWN),
    )
    feeds = await load(database, make_family(title="News: {name}", description="On {name}"))
    assert set(feeds) == {"topics/科技", "topics/night-trams"}
    feed = feeds["topics/night-trams"]
    assert (feed.title, feed.description) == ("News: Night Trams", "On Night Trams")
    assert (feed.family, feed.value) == ("topics", "Night Trams")
    assert str(feed.filter) == 'topic = "Night Trams"'
    assert feed.guid == podcast_guid("https://news.example/feeds/topics/night-trams/rss.xml")


@pytest.mark.parametrize(
    ("each", "keys"),
    [
        ("section", {"by/城市", "by/sport"}),
        ("topic", {"by/trams", "by/it-s"}),
        ("author", {"by/李雷", "by/alice"}),
        ("language", {"by/zh-cn", "by/en"}),
        ("source", {"by/news", "by/blog"}),
    ],
)
async def test_families_are_made_of_each_property(
    database: Database,
    make_article: ArticleBuilder,
    make_family: FamilyBuilder,
    each: str,
    keys: set[str],
) -> None:
    await save(
        database,
        make_article(1, section="城市", authors=["李雷", "Alice"], language="zh-CN"),
        make_article(2, section=None, topics=[], source="blog"),
        make_article(3, section="Sport", topics=["it's", "trams"]),
        make_article(4, section="", topics=[" "]),
    )
    feeds = await load(database, make_family("by", each))
    assert set(feeds) == keys
    async with database.read() as session:
        for feed in feeds.values():
            query = select(Article).where(*feed.filter.to_sql(database.kind))
            admitted = list((await session.execute(query)).scalars())
            assert admitted
            assert all(feed.filter.matches(one) for one in admitted)


async def test_new_values_are_found_and_old_ones_stay(
    database: Database, make_article: ArticleBuilder, make_family: FamilyBuilder
) -> None:
    family = make_family()
    assert await load(database, family) == {}
    await save(database, make_article(1, topics=["C++"]))
    first = await load(database, family)
    await save(database, make_article(2, topics=["C#"]))
    await change(database, 1, topics=["trams"])
    later = await load(database, family)
    assert set(later) == {"topics/c", member_key("topics", "C#", {"topics/c"}), "topics/trams"}
    assert later["topics/c"] == first["topics/c"]
    assert await load(database, family) == later


async def test_only_what_has_changed_is_looked_at_again(
    database: Database, make_article: ArticleBuilder, make_family: FamilyBuilder
) -> None:
    family = make_family()
    await save(database, make_article(1, topics=["one"]))
    await load(database, family)
    async with database.write() as session:
        await session.execute(update(Article).values(topics=["unmarked"]))
    await save(database, make_article(2, topics=["two"]))
    assert set(await load(database, family)) == {"topics/one", "topics/two"}
    # A family that is about other articles looks at all of them.
    narrower = make_family(filter=parse_filter('section = "City"'))
    assert "topics/unmarked" in await load(database, narrower)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("each", ["section", "topic"])
async def test_looking_costs_what_has_changed_and_not_what_there_is(
    database: Database, make_family: FamilyBuilder, each: str
) -> None:
    statements: list[tuple[str, Any]] = []
    engine = database.engine.sync_engine

    @event.listens_for(engine, "before_cursor_execute")
    def note(_c: Any, _k: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    await load(database, make_family(each=each))
    ((looking, parameters),) = [one for one in statements if "GROUP BY" in one[0]]
    async with database.engine.connect() as connection:
        plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {looking}", parameters)
        assert "USING INDEX ix_article_changed" in str(plan.all())


async def test_a_family_holds_what_its_own_filter_admits(
    database: Database, make_article: ArticleBuilder, make_family: FamilyBuilder
) -> None:
    await save(
        database,
        make_article(1, section="ads", topics=["cars"]),
        make_article(2, section=None, topics=["trams"]),
    )
    feeds = await load(database, make_family(filter=parse_filter('section != "ads"')))
    assert {key: str(one.filter) for key, one in feeds.items()} == {
        "topics/trams": 'section != "ads" and topic = "trams"'
    }


async def test_several_nodes_at_once_give_each_value_one_feed(
    database: Database, make_article: ArticleBuilder, make_family: FamilyBuilder
) -> None:
    topics = [f"{sign}{number}" for number in range(20) for sign in "+#"]
    await save(database, make_article(1, topics=topics))
    family, spec = make_family(), make_family().spec
    found = await asyncio.gather(*(load(database, family, specs=[spec]) for _ in range(4)))
    assert all(one == found[0] for one in found)
    values = [one.value for one in found[0].values() if one.family]
    assert sorted(map(str, values)) == sorted(topics)


async def test_a_newsletter_has_a_feed_that_says_what_it_says(
    database: Database, make_family: FamilyBuilder
) -> None:
    daily = Named("每日新闻", parse_filter('section = "news"'), "早上七点", "zh-CN")
    weekly = Named("Weekly", parse_filter("has image"))
    family = make_family("letters", "newsletter", description="News")
    feeds = await load(database, family, names={"daily": daily})
    feed = feeds["letters/daily"]
    assert (feed.title, feed.description, feed.language) == ("News: 每日新闻", "早上七点", "zh-CN")
    assert feed.filter == daily.filter
    feeds = await load(database, family, names={"weekly": weekly})
    assert set(feeds) == {"letters/weekly"}
    assert feeds["letters/weekly"].description == "News: Weekly"
    assert await load(database, family) == {}


async def test_a_feed_keeps_its_identity_when_it_is_renamed(
    database: Database,
    make_spec: SpecBuilder,
    make_family: FamilyBuilder,
    make_article: ArticleBuilder,
) -> None:
    await save(database, make_article(1, topics=["C++", "C#"]))
    before = await load(database, make_family(), specs=[make_spec(key="radio")])
    renamed = make_spec(key="podcast", formerly=("never", "radio"))
    after = await load(database, make_family("tags", formerly=("topics",)), specs=[renamed])
    assert after["podcast"].guid == before["radio"].guid
    assert len(after) == len(before) == 3
    for key, feed in before.items():
        if feed.family:
            moved = after[key.replace("topics/", "tags/")]
            assert (moved.guid, moved.value) == (feed.guid, feed.value)
            assert moved.formerly == (key,)
    # What is configured no more is known, and not published.
    async with database.read() as session:
        assert await session.get(Feed, "radio") is not None
        assert await session.get(Feed, "topics/c") is not None


async def test_an_identity_is_minted_once(database: Database, make_spec: SpecBuilder) -> None:
    first = await load(database, specs=[make_spec()])
    moved = await load(database, specs=[make_spec(base_url="https://elsewhere.example")])
    assert moved["all"].guid == first["all"].guid is not None


def test_a_podcast_is_known_by_its_address_without_scheme_and_slashes() -> None:
    # The example of the podcast namespace's own document.
    expected = UUID("9b024349-ccf0-5f69-a609-6b82873eab3c")
    assert podcast_guid("https://podnews.net/rss") == expected
    assert podcast_guid("http://podnews.net/rss//") == expected


def test_identities_are_of_addresses_as_they_are_written_in_links(make_spec: SpecBuilder) -> None:
    (row,) = plan_rows([make_spec(key="城市")], {})
    assert UUID(row.guid) == podcast_guid("https://news.example/feeds/%E5%9F%8E%E5%B8%82/rss.xml")


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("科技", "t/科技"),
        ("Night  Trams & Buses", "t/night-trams-buses"),
        ("snake_case-2026", "t/snake_case-2026"),
        ("../../etc/passwd", "t/etc-passwd"),
        ("Ｆｕｌｌ　Ｗｉｄｔｈ", "t/full-width"),
        ("Cafe\u0301", "t/café"),
        ("हिन्दी", "t/हिन्दी"),
        ("\u0301a\u202eb\u200d\u3164", "t/a-b"),
        ("x" * 200, "t/" + "x" * 40),
    ],
)
def test_a_key_is_made_of_the_words_of_its_value(value: str, key: str) -> None:
    assert member_key("t", value, ()) == key


@pytest.mark.parametrize("value", ["..", ".", "", "/", "archive", "Archive", "+++", "\u0301", "_"])
def test_a_value_without_words_of_its_own_has_a_digest_for_a_key(value: str) -> None:
    key = member_key("t", value, ())
    words, _, digest = key.removeprefix("t/").rpartition("-")
    assert words in ("", "archive")
    assert len(digest) == 8
    assert int(digest, 16) >= 0


@settings(deadline=None)
@given(st.lists(st.text(max_size=60) | st.sampled_from(["C+", "C#", "c"]), unique=True, max_size=8))
def test_keys_are_distinct_and_fit_for_paths(values: list[str]) -> None:
    family, taken = "f" * 50, set[str]()
    for value in values:
        key = member_key(family, value, taken)
        assert key not in taken
        assert len(key) <= 100
        slug = key.removeprefix(f"{family}/")
        assert slug not in ("", "archive")
        assert unicodedata.normalize("NFC", slug) == slug == slug.lower()
        for one in slug:
            assert unicodedata.category(one)[0] in "LM" or one.isdecimal() or one in "-_"
        taken.add(key)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("zh-CN", "中文 (简体, 中国)"),
        ("zh", "中文"),
        ("zh-Hant", "中文 (繁體)"),
        ("en", "English"),
        ("xx-yy", "xx-yy"),
        ("not a tag", "not a tag"),
    ],
)
def test_a_language_is_called_by_its_name_in_itself(
    make_family: FamilyBuilder, value: str, name: str
) -> None:
    feed = member_spec(make_family("in", "language"), "in/x", value, None)
    assert feed is not None
    assert (feed.title, feed.language) == (f"News: {name}", value)
    assert str(feed.filter) == f'language is "{value}"'


def test_braces_in_a_value_stay_as_they_are(make_family: FamilyBuilder) -> None:
    family = make_family(title="{name} & {title}", description="")
    feed = member_spec(family, "topics/name", "{name}{0}", None)
    assert feed is not None
    assert (feed.title, feed.description) == ("{name}{0} & {title}", "")


def test_beyond_a_thousand_members_nobody_gets_a_feed_and_the_operator_is_told(
    make_family: FamilyBuilder,
) -> None:
    there = FeedRow("topics/old", "topics", "old", GUID)
    values = ["old", "v" * 201, *(f"value {number}" for number in range(MOST_MEMBERS + 5))]
    with capture_logs() as logs:
        rows = plan_members(make_family(), values, {there.key: there})
    assert [row.value for row in rows] == values[2 : MOST_MEMBERS + 1]
    assert [(line["log_level"], line["family"], line["left_out"]) for line in logs] == [
        ("warning", "topics", 7)
    ]


async def test_two_thousand_topics_make_a_thousand_feeds(
    database: Database, make_article: ArticleBuilder, make_family: FamilyBuilder
) -> None:
    topics = [f"topic {number}" for number in range(2 * MOST_MEMBERS)]
    await save(database, make_article(1, topics=topics))
    feeds = await load(database, make_family())
    assert len(feeds) == MOST_MEMBERS
    assert await load(database, make_family()) == feeds


async def test_an_article_with_another_topic_touches_the_feed_it_left_and_the_one_it_came_to(
    database: Database,
    make_article: ArticleBuilder,
    make_family: FamilyBuilder,
    make_spec: SpecBuilder,
) -> None:
    await save(database, *(make_article(n, topics=[topic]) for n, topic in enumerate("abc", 1)))
    everything = make_spec(filter=parse_filter("announced"))
    before = await load(database, make_family(), specs=[everything])
    assert set(before) == {"all", "topics/a", "topics/b", "topics/c"}
    async with database.write() as session:
        session.add_all(
            FeedEntry(feed=key, article=number, fragment="f")
            for number, key in enumerate(["topics/a", "topics/b", "topics/c"], 1)
        )
    await change(database, 1, topics=["b", "d"])
    specs = list((await load(database, make_family(), specs=[everything])).values())
    async with database.read() as session:
        changes = await load_changed(session, 1, 100)
        holders = await load_holders(session, [one.id for one in changes])
    assert [(one.id, one.topics, one.content) for one in changes] == [(1, ["b", "d"], None)]
    assert touched_feeds(specs, changes, holders) == {"all", "topics/a", "topics/b", "topics/d"}


async def test_a_withdrawn_article_touches_the_feeds_that_hold_it_only(
    database: Database, make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    await save(
        database,
        make_article(1),
        make_article(2, seq=None, state=ArticleState.HELD),
    )
    async with database.write() as session:
        session.add(FeedEntry(feed="holds", article=1, fragment="f"))
        session.add(FeedEntry(feed="retired", article=1, fragment="f"))
    await change(database, 1, state=ArticleState.WITHDRAWN)
    async with database.read() as session:
        changes = await load_changed(session, 0, 100)
        holders = await load_holders(session, [1, 2])
    assert [one.id for one in changes] == [1]
    specs = [make_spec(key="holds"), make_spec(key="would hold")]
    assert touched_feeds(specs, changes, holders) == {"holds"}


async def test_whole_articles_are_loaded_for_feeds_that_look_into_them(
    database: Database, make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    article = make_article(1, content="<p>地铁</p>")
    await save(database, article, make_article(2))
    specs = [
        make_spec(key="metro", filter=parse_filter('text contains "地铁"')),
        make_spec(key="bus", filter=parse_filter('text contains "公交"')),
        make_spec(key="sport", filter=parse_filter('section = "sport"')),
    ]
    assert asks_for_text(specs)
    assert not asks_for_text(specs[2:])
    async with database.read() as session:
        whole = await load_changed(session, 0, 100, with_text=True)
        light = await load_changed(session, 0, 1)
    assert touched_feeds(specs, whole, {}) == {"metro"}
    # Without their content nothing can be ruled out.
    assert touched_feeds(specs, light, {}) == {"metro", "bus"}
    assert len(light) == 1


def test_what_filters_ask_for_is_in_a_changed_article(
    make_article: ArticleBuilder, make_spec: SpecBuilder
) -> None:
    article = make_article(1)
    one = ChangedArticle._make(getattr(article, name) for name in ChangedArticle._fields)
    every = parse_filter(
        "has source and has section and has topic and has author and has title and has summary and"
        ' has text and not has image and not has enclosure and announced and language = "en"'
        " and published >= 2026-01-01 and updated >= 2026-01-01"
    )
    assert touched_feeds([make_spec(filter=every)], [one], {}) == {"all"}
    assert touched_feeds([make_spec(filter=every)], [replace_state(one)], {}) == set()


def replace_state(one: ChangedArticle) -> ChangedArticle:
    return one._replace(state=ArticleState.WITHDRAWN)


def test_a_member_of_a_renamed_family_does_not_take_anothers_place(
    make_family: FamilyBuilder,
) -> None:
    family = make_family("tags", formerly=("topics",))
    rows = {
        row.key: row
        for row in [
            FeedRow("topics/c", "topics", "C++", GUID),
            FeedRow("tags/c", "tags", "C#", GUID),
        ]
    }
    (row,) = plan_members(family, ["C++"], rows)
    assert row == FeedRow(member_key("tags", "C++", rows), "tags", "C++", GUID)
    assert row.key != "tags/c"
    assert plan_members(replace(family, key="topics"), ["C++"], rows) == []
