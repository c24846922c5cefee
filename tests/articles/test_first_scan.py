"""Which articles are what a source always held, and which are news, on both databases."""

from datetime import timedelta

import pytest
from article_builders import NOW, Pipeline
from sqlalchemy import select
from sqlmodel import col

from feedsvc.model.article import Article, Source

pytestmark = pytest.mark.anyio

LATER = NOW + timedelta(hours=1)


def archive(count: int, first: int = 0) -> dict[str, str]:
    return {
        f"{n}.md": f"---\ntitle: Article {n}\ndate: 2015-01-01\n---\n"
        for n in range(first, first + count)
    }


async def announced(pipeline: Pipeline) -> set[str]:
    async with pipeline.database.read() as session:
        rows = await session.execute(
            select(col(Article.source_key)).where(col(Article.announce).is_(True))
        )
        return set(rows.scalars())


async def first_complete_scan_at(pipeline: Pipeline) -> object:
    async with pipeline.database.read() as session:
        row = await session.get(Source, "blog")
    assert row is not None
    return row.first_complete_scan_at


async def test_an_archive_that_appears_in_an_empty_folder_is_not_announced(
    pipeline: Pipeline,
) -> None:
    await pipeline.ingest({})
    await pipeline.ingest(archive(4), now=LATER)
    assert await announced(pipeline) == set()
    assert await first_complete_scan_at(pipeline) == LATER
    await pipeline.ingest(archive(9), now=LATER)
    assert await announced(pipeline) == {f"{n}.md" for n in range(4, 9)}


async def test_the_first_few_articles_of_an_empty_folder_are_announced(pipeline: Pipeline) -> None:
    await pipeline.ingest({})
    await pipeline.ingest(archive(3), now=LATER)
    assert await announced(pipeline) == {"0.md", "1.md", "2.md"}


async def test_many_articles_in_a_folder_that_once_held_one_are_announced(
    pipeline: Pipeline,
) -> None:
    await pipeline.ingest(archive(1))
    await pipeline.ingest({})
    await pipeline.ingest(archive(5, first=1), now=LATER)
    assert len(await announced(pipeline)) == 5


async def test_an_archive_is_announced_if_the_operator_wants_it(pipeline: Pipeline) -> None:
    await pipeline.ingest({})
    await pipeline.ingest(archive(5), now=LATER, announce_existing=True)
    assert len(await announced(pipeline)) == 5


async def test_an_archive_whose_storing_was_killed_is_still_not_announced(
    pipeline: Pipeline,
) -> None:
    await pipeline.ingest({})
    await pipeline.ingest(archive(5), batch_size=2, stop_after=1)
    await pipeline.ingest(archive(5), batch_size=2, now=LATER)
    assert await announced(pipeline) == set()
    assert await first_complete_scan_at(pipeline) == LATER


async def test_a_file_of_an_archive_that_could_not_be_read_is_not_announced_once_mended(
    pipeline: Pipeline,
) -> None:
    await pipeline.ingest({})
    await pipeline.ingest({**archive(4), "4.md": "no title"})
    await pipeline.ingest(archive(5), now=LATER)
    assert await announced(pipeline) == set()


async def test_what_is_being_written_at_the_first_scan_belongs_to_what_was_held_at_first(
    pipeline: Pipeline,
) -> None:
    await pipeline.ingest(archive(2), unread=("0.md", "1.md"))
    assert await first_complete_scan_at(pipeline) is None
    await pipeline.ingest(archive(2), now=LATER)
    assert await announced(pipeline) == set()
    assert await first_complete_scan_at(pipeline) == LATER


async def test_an_archive_still_being_copied_into_an_empty_folder_is_not_announced(
    pipeline: Pipeline,
) -> None:
    await pipeline.ingest({})
    await pipeline.ingest(archive(6), unread=("0.md",))
    await pipeline.ingest(archive(9), now=LATER)
    assert await announced(pipeline) == set()
