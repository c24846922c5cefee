"""Each change has a number, and each article that of its last."""

import pytest
from article_builders import Pipeline
from sqlalchemy import select
from sqlmodel import col

from feedsvc.articles.changed import load_change, mark_changed, mark_items_changed
from feedsvc.db.engine import Database
from feedsvc.model.article import Article

pytestmark = pytest.mark.anyio


async def numbers(database: Database) -> dict[str, int]:
    async with database.read() as session:
        rows = await session.execute(select(col(Article.source_key), col(Article.changed)))
        return dict(rows.all())


async def ids(database: Database) -> dict[str, int]:
    async with database.read() as session:
        rows = await session.execute(select(col(Article.source_key), col(Article.id)))
        return {key: number or 0 for key, number in rows}


async def test_a_change_is_noted_in_the_articles_that_have_changed(pipeline: Pipeline) -> None:
    database = pipeline.database
    await pipeline.ingest({f"{name}.md": f"# {name}\n\nText" for name in "abc"})
    known = await ids(database)
    async with database.write() as session:
        assert await load_change(session) == 0
        await mark_changed(session, [known["a.md"], known["b.md"]])
    async with database.write() as session:
        await mark_items_changed(session, "blog", ["b.md", "nobody.md"], [known["c.md"]])
    assert await numbers(database) == {"a.md": 1, "b.md": 2, "c.md": 2}
    async with database.write() as session:
        await mark_items_changed(session, "another source", ["a.md"])
    assert await numbers(database) == {"a.md": 1, "b.md": 2, "c.md": 2}
    async with database.read() as session:
        assert await load_change(session) == 3


async def test_a_thousand_articles_are_marked_with_one_number(pipeline: Pipeline) -> None:
    database = pipeline.database
    files = {f"{number}.md": f"# T\n\n{number}" for number in range(1001)}
    await pipeline.ingest(files)
    async with database.write() as session:
        await mark_items_changed(session, "blog", list(files))
    assert set((await numbers(database)).values()) == {1}
    async with database.write() as session:
        await mark_changed(session, list((await ids(database)).values()))
    assert set((await numbers(database)).values()) == {2}


async def test_what_was_rolled_back_has_no_number(pipeline: Pipeline) -> None:
    database = pipeline.database
    await pipeline.ingest({"a.md": "# A\n\nText"})
    known = await ids(database)
    try:
        async with database.write() as session:
            await mark_changed(session, [known["a.md"]])
            raise RuntimeError("killed")
    except RuntimeError:
        pass
    assert await numbers(database) == {"a.md": 0}
    async with database.read() as session:
        assert await load_change(session) == 0
