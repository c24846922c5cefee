"""Publication numbers: without gaps, in order, whoever publishes at the same time."""

import asyncio
import contextlib
from datetime import timedelta

import pytest
from article_builders import NOW, Pipeline
from sqlalchemy import func, insert, select
from sqlmodel import col

from feedsvc.articles.publish import newest_seq, next_publication_at, publish_due
from feedsvc.db.engine import Database
from feedsvc.model.article import Article, ArticleState

pytestmark = pytest.mark.anyio


async def schedule(
    database: Database, count: int, *, state: ArticleState = ArticleState.SCHEDULED, days: int = 0
) -> None:
    """Articles due one second apart, the last stored due first."""
    async with database.write() as session:
        first = (await session.scalar(select(func.count()).select_from(Article))) or 0
        await session.execute(
            insert(Article),
            [
                {
                    "source": "blog",
                    "source_key": f"{first + number}.md",
                    "fingerprint": "f",
                    "revision": 1,
                    "guid": f"guid-{first + number}",
                    "slug": f"slug-{first + number}",
                    "title": "T",
                    "authors": [],
                    "topics": [],
                    "language": "zh-CN",
                    "published_at": NOW + timedelta(days=days, seconds=-number),
                    "updated_at": NOW,
                    "content": "",
                    "summary": "",
                    "enclosures": [],
                    "content_hash": "h",
                    "announce": True,
                    "state": state,
                    "stored_at": NOW,
                }
                for number in range(count)
            ],
        )


async def test_due_articles_get_numbers_in_the_order_of_their_times(database: Database) -> None:
    await schedule(database, 3)
    async with database.write() as session:
        ids = await publish_due(session, NOW)
    async with database.read() as session:
        rows = await session.execute(select(Article).order_by(col(Article.seq)))
        published = list(rows.scalars())
        assert [one.id for one in published] == ids
        assert [one.seq for one in published] == [1, 2, 3]
        assert [one.source_key for one in published] == ["2.md", "1.md", "0.md"]
        assert {one.state for one in published} == {ArticleState.PUBLISHED}
        assert await newest_seq(session) == 3


async def test_drafts_and_articles_of_tomorrow_wait(database: Database) -> None:
    await schedule(database, 1, state=ArticleState.HELD)
    await schedule(database, 1, days=1)
    async with database.write() as session:
        assert await publish_due(session, NOW) == []
        assert await newest_seq(session) == 0
        assert await next_publication_at(session) == NOW + timedelta(days=1)
    async with database.write() as session:
        assert len(await publish_due(session, NOW + timedelta(days=1))) == 1
        assert await next_publication_at(session) is None


async def test_a_late_article_with_an_old_date_gets_the_next_number(database: Database) -> None:
    await schedule(database, 2)
    async with database.write() as session:
        await publish_due(session, NOW)
    await schedule(database, 1, days=-300)
    async with database.write() as session:
        (late,) = await publish_due(session, NOW)
        article = await session.get(Article, late)
        assert article is not None
        assert article.seq == 3


async def test_a_batch_is_never_larger_than_its_limit(database: Database) -> None:
    await schedule(database, 5)
    async with database.write() as session:
        assert len(await publish_due(session, NOW, limit=3)) == 3
    async with database.write() as session:
        assert len(await publish_due(session, NOW, limit=3)) == 2


async def test_a_transaction_that_fails_uses_no_number_up(database: Database) -> None:
    await schedule(database, 1)
    with contextlib.suppress(KeyError):
        async with database.write() as session:
            assert await publish_due(session, NOW) != []
            raise KeyError
    async with database.write() as session:
        assert await newest_seq(session) == 0
        await publish_due(session, NOW)
        assert await newest_seq(session) == 1


async def test_many_publishers_leave_no_gap_that_anybody_ever_sees(database: Database) -> None:
    await schedule(database, 120)
    holes: list[tuple[int, int]] = []
    looks = 0
    done = asyncio.Event()

    async def publisher() -> list[int]:
        published: list[int] = []
        quiet = 0
        while quiet < 3:
            async with database.write() as session:
                ids = await publish_due(session, NOW, limit=7)
            published += ids
            quiet = 0 if ids else quiet + 1
        return published

    async def reader() -> None:
        nonlocal looks
        while not done.is_set():
            async with database.read() as session:
                row = await session.execute(
                    select(func.count(), func.coalesce(func.max(col(Article.seq)), 0)).where(
                        col(Article.seq).is_not(None)
                    )
                )
                count, newest = row.one()
            looks += 1
            if count != newest:
                holes.append((count, newest))

    readers = [asyncio.create_task(reader()) for _ in range(3)]
    published = await asyncio.gather(*(publisher() for _ in range(6)))
    done.set()
    await asyncio.gather(*readers)
    everything = [one for each in published for one in each]
    assert sorted(everything) == sorted(set(everything))
    async with database.read() as session:
        rows = await session.execute(select(col(Article.seq)).order_by(col(Article.seq)))
        assert list(rows.scalars()) == list(range(1, 121))
    assert looks > 0
    assert holes == []


async def test_publishing_and_withdrawing_at_the_same_time_end_in_one_state(
    pipeline: Pipeline,
) -> None:
    files = {f"{n}.md": f"---\ntitle: T {n}\ndate: 2026-02-01\n---\n" for n in range(4)}
    await pipeline.ingest(files, stop_after=1)

    async def publish() -> None:
        async with pipeline.database.write() as session:
            await publish_due(session, NOW)

    await asyncio.gather(publish(), pipeline.ingest({}, allow_mass_withdrawal=True), publish())
    async with pipeline.database.read() as session:
        rows = list((await session.execute(select(Article))).scalars())
        assert {one.state for one in rows} == {ArticleState.WITHDRAWN}
        assert await newest_seq(session) == sum(1 for one in rows if one.seq is not None)
