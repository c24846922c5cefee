"""Articles that tell the same share a story, on both databases, as they are stored and revised."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count

import pytest
from article_builders import DEFAULTS, NOW, Pipeline, counting_bytes, make_raw
from sqlalchemy import delete, func, select
from sqlmodel import col
from story_samples import CRASH, RATES, SAME, closing

from feedsvc.articles.changes import Change, ChangeKind
from feedsvc.articles.ingest import ReadChange, read_changes
from feedsvc.articles.lookup import list_story_mates
from feedsvc.articles.scans import load_known
from feedsvc.articles.store import store_changes
from feedsvc.articles.stories import MOST_BEARERS
from feedsvc.db.engine import Database
from feedsvc.model.article import Article, ArticleState, StoryKey

pytestmark = pytest.mark.anyio

LATER = NOW + timedelta(hours=1)


@dataclass(frozen=True)
class Copy:
    """A file of a source; its title and body, and what else its front matter says."""

    key: str
    item: tuple[str, str]
    source: str = "blog"
    more: str = ""
    published_at: datetime = NOW - timedelta(days=1)

    def text(self) -> str:
        title, body = self.item
        date = self.published_at.isoformat()
        return f"---\ntitle: {json.dumps(title)}\ndate: {date}\n{self.more}\n---\n\n{body}\n"


class Newsroom:
    """Stores copies of several sources, and says who shares a story with whom."""

    def __init__(self, database: Database) -> None:
        self.database, self.random_bytes = database, counting_bytes()

    async def store(self, *copies: Copy, now: datetime = NOW) -> None:
        """One batch of one source, of files that are new or have changed."""
        source = copies[0].source
        async with self.database.read() as session:
            known = (await load_known(session, source)).stored
        changes = []
        for one in copies:
            raw = replace(make_raw(one.text(), key=one.key), source=source)
            before = known.get(one.key)
            kind = ChangeKind.CHANGED if before else ChangeKind.NEW
            changes.append(Change(kind, one.key, raw, before))
        await self.carry_out(source, read_changes(changes, DEFAULTS), now)

    async def withdraw(self, key: str, source: str = "blog") -> None:
        async with self.database.read() as session:
            known = (await load_known(session, source)).stored
        gone = Change(ChangeKind.WITHDRAWN, key, stored=known[key])
        await self.carry_out(source, [ReadChange(gone)], NOW)

    async def carry_out(self, source: str, read: Sequence[ReadChange], now: datetime) -> None:
        async with self.database.write() as session:
            await store_changes(
                session, source, read, now=now, announce=True, random_bytes=self.random_bytes
            )

    async def article(self, key: str) -> Article:
        async with self.database.read() as session:
            found = await session.execute(select(Article).where(col(Article.source_key) == key))
            return found.scalar_one()

    async def together(self) -> set[frozenset[str]]:
        """The keys of those who share a story. The story bears the guid of the first stored."""
        async with self.database.read() as session:
            rows = await session.execute(select(Article).order_by(col(Article.id)))
            stories: dict[str, list[Article]] = defaultdict(list)
            for article in rows.scalars():
                if article.story is not None:
                    stories[article.story].append(article)
        for story, articles in stories.items():
            assert len(articles) > 1
            assert articles[0].guid == story
        return {frozenset(one.source_key for one in some) for some in stories.values()}

    async def empty(self) -> None:
        async with self.database.write() as session:
            await session.execute(delete(Article))
            await session.execute(delete(StoryKey))


@pytest.fixture
def newsroom(database: Database) -> Newsroom:
    return Newsroom(database)


def same(*keys: str) -> set[frozenset[str]]:
    return {frozenset(keys)}


async def test_copies_of_two_sources_are_one_story_and_others_stand_alone(
    newsroom: Newsroom,
) -> None:
    await newsroom.store(Copy("a.md", CRASH), Copy("b.md", RATES))
    await newsroom.store(Copy("wire.md", ("【快讯】" + CRASH[0], CRASH[1]), "wire"))
    assert await newsroom.together() == same("a.md", "wire.md")


async def test_one_article_in_two_sections_of_one_source_is_one_story(newsroom: Newsroom) -> None:
    await newsroom.store(
        Copy("city/a.md", CRASH, more="section: 城市"),
        Copy("traffic/a.md", CRASH, more="section: 交通"),
    )
    assert await newsroom.together() == same("city/a.md", "traffic/a.md")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("url: https://news.example/a?utm_source=x", "canonical: http://www.news.example/a/"),
        ("guid: tag:news.example,2026:7", "guid: tag:news.example,2026:7"),
        ("guid: 9d1f2f5e-8a4f-4a37-9f5e-0a5f5c1d2e3f",) * 2,
    ],
    ids=["address", "tag", "uuid"],
)
async def test_what_claims_to_be_the_same_across_sources_is_believed(
    newsroom: Newsroom, one: str, other: str
) -> None:
    await newsroom.store(Copy("a.md", CRASH, more=one))
    await newsroom.store(Copy("b.md", RATES, "wire", more=other))
    assert await newsroom.together() == same("a.md", "b.md")


@pytest.mark.parametrize("claim", ["url: https://news.example/a", "guid: tag:news.example,2026:7"])
async def test_a_file_begun_as_a_copy_of_another_is_no_duplicate(
    newsroom: Newsroom, claim: str
) -> None:
    await newsroom.store(Copy("a.md", CRASH, more=claim), Copy("b.md", RATES, more=claim))
    assert await newsroom.together() == set()


@pytest.mark.parametrize("claim", ["url: https://news.example/", "guid: 7"])
async def test_a_first_page_and_a_number_claim_nothing(newsroom: Newsroom, claim: str) -> None:
    await newsroom.store(Copy("a.md", CRASH, more=claim))
    await newsroom.store(Copy("b.md", RATES, "wire", more=claim))
    assert await newsroom.together() == set()


async def test_an_html_document_stands_where_it_says(newsroom: Newsroom) -> None:
    html = "<head><link href='https://news.example/a#top' rel='canonical'></head><p>正文。</p>"
    await newsroom.store(Copy("a.md", CRASH, more="url: https://news.example/a"))
    raw = make_raw(f"<title>别的题目</title>{html}", key="b.html")
    raw = replace(raw, source="wire", media_type=raw.media_type.HTML)
    read = read_changes([Change(ChangeKind.NEW, "b.html", raw)], DEFAULTS)
    await newsroom.carry_out("wire", read, NOW)
    assert await newsroom.together() == same("a.md", "b.html")
    assert (await newsroom.article("b.html")).url is None


async def test_an_edit_that_makes_it_another_takes_it_out(newsroom: Newsroom) -> None:
    await newsroom.store(Copy("a.md", CRASH))
    await newsroom.store(Copy("b.md", CRASH, "wire"))
    await newsroom.store(Copy("c.md", CRASH, "paper"))
    await newsroom.store(Copy("a.md", RATES), now=LATER)
    assert await newsroom.together() == same("b.md", "c.md")
    await newsroom.store(Copy("d.md", RATES, "paper"))
    assert await newsroom.together() == same("b.md", "c.md") | same("a.md", "d.md")
    await newsroom.store(Copy("b.md", closing("3021", "0.4", "381", "上涨"), "wire"), now=LATER)
    assert await newsroom.together() == same("a.md", "d.md")


async def test_an_edit_that_makes_it_the_same_brings_it_in(newsroom: Newsroom) -> None:
    await newsroom.store(Copy("a.md", RATES))
    await newsroom.store(Copy("b.md", CRASH, "wire"))
    await newsroom.store(Copy("a.md", CRASH), now=LATER)
    assert await newsroom.together() == same("a.md", "b.md")


async def test_a_third_joins_two_stories_and_they_stay_one_without_it(newsroom: Newsroom) -> None:
    beside = ("另一个题目：路面湿滑", RATES[1])
    claim = "url: https://news.example/a"
    await newsroom.store(Copy("a.md", CRASH))
    await newsroom.store(Copy("b.md", beside, "wire", claim))
    assert await newsroom.together() == set()
    await newsroom.store(Copy("c.md", CRASH, "paper", claim))
    assert await newsroom.together() == same("a.md", "b.md", "c.md")
    await newsroom.store(Copy("c.md", closing("3021", "0.4", "381", "上涨"), "paper"), now=LATER)
    assert await newsroom.together() == same("a.md", "b.md")


async def test_who_is_withdrawn_stays_a_member_and_a_copy_under_a_new_key_joins_it(
    newsroom: Newsroom,
) -> None:
    await newsroom.store(Copy("a.md", CRASH))
    await newsroom.withdraw("a.md")
    await newsroom.store(Copy("b.md", CRASH, more="tags: [交通]"))
    assert await newsroom.together() == same("a.md", "b.md")
    async with newsroom.database.read() as session:
        mates = await list_story_mates(session, await newsroom.article("b.md"))
    assert [(one.source_key, one.state) for one in mates] == [("a.md", ArticleState.WITHDRAWN)]


async def test_who_comes_first_makes_no_difference(newsroom: Newsroom) -> None:
    """Versions of two articles, the close of three days, and a claim, in any order and batches."""
    numbers = count()
    copies = [
        Copy(f"{next(numbers)}.md", item, random.Random(number).choice(["blog", "wire", "paper"]))
        for number, pair in enumerate(SAME.values())
        for item in pair
    ]
    copies += [
        Copy(f"{next(numbers)}.md", closing(f"30{day}1.55", f"0.{day}", f"38{day}2", "小幅上涨"))
        for day in range(1, 4)
    ]
    copies.append(Copy("claim.md", RATES, "paper", "url: https://news.example/a"))
    copies.append(
        Copy("other.md", ("别的", "别的。"), "wire", "url: https://news.example/a?from=x")
    )
    expected = None
    for seed in range(3):
        chance = random.Random(seed)
        order = chance.sample(copies, len(copies))
        while order:
            batch = [one for one in order[: chance.randint(1, 20)] if one.source == order[0].source]
            order = [one for one in order if one not in batch]
            await newsroom.store(*batch)
        together = await newsroom.together()
        expected = expected or together
        assert together == expected
        await newsroom.empty()
    assert expected is not None
    assert {len(one) for one in expected} == {2, 20, 22}


async def test_of_two_nodes_that_store_copies_at_once_the_second_sees_the_first(
    newsroom: Newsroom,
) -> None:
    await asyncio.gather(
        *(newsroom.store(Copy(f"{source}.md", CRASH, source)) for source in ("a", "b", "c", "d"))
    )
    assert await newsroom.together() == same("a.md", "b.md", "c.md", "d.md")


async def test_what_very_many_have_in_common_is_noted_a_few_times(newsroom: Newsroom) -> None:
    await newsroom.store(*(Copy(f"{number}.md", CRASH) for number in range(3 * MOST_BEARERS)))
    (together,) = await newsroom.together()
    assert len(together) == 3 * MOST_BEARERS
    async with newsroom.database.read() as session:
        bearers = await session.execute(
            select(func.count()).select_from(StoryKey).group_by(col(StoryKey.value))
        )
        assert set(bearers.scalars()) == {MOST_BEARERS}


async def test_reading_again_finds_the_stories_of_what_an_older_version_stored(
    newsroom: Newsroom,
) -> None:
    await newsroom.store(Copy("a.md", CRASH))
    async with newsroom.database.write() as session:
        await session.execute(delete(StoryKey))
    await newsroom.store(Copy("b.md", CRASH, "wire"))
    assert await newsroom.together() == set()
    await newsroom.store(Copy("a.md", CRASH))
    assert await newsroom.together() == same("a.md", "b.md")


async def test_a_weight_changes_without_a_revision(newsroom: Newsroom) -> None:
    await newsroom.store(Copy("a.md", CRASH, more="weight: -5"))
    assert (await newsroom.article("a.md")).weight == -5
    await newsroom.store(Copy("a.md", CRASH, more="weight: 20"), now=LATER)
    article = await newsroom.article("a.md")
    assert (article.weight, article.revision, article.revised_at) == (20, 1, NOW)


async def test_a_revision_is_dated_when_it_is_stored(pipeline: Pipeline) -> None:
    text = Copy("a.md", CRASH).text()
    other = {"b.md": Copy("b.md", RATES).text()}

    async def revised_at() -> datetime | None:
        return (await Newsroom(pipeline.database).article("a.md")).revised_at

    await pipeline.ingest({"a.md": text, **other})
    assert await revised_at() == NOW
    await pipeline.ingest({"a.md": text + "\n\n又及。", **other}, now=LATER)
    assert await revised_at() == LATER
    await pipeline.ingest(other, now=LATER + timedelta(hours=1))
    assert await revised_at() == LATER
    await pipeline.ingest({"a.md": text + "\n\n又及。", **other}, now=LATER + timedelta(hours=2))
    assert await revised_at() == LATER + timedelta(hours=2)
