"""Whoever takes in or publishes articles notes the number of the change in each of them."""

import pytest
from newsroom_walk import Walk
from sqlalchemy import select
from sqlmodel import col

from feedsvc.articles.changed import load_change
from feedsvc.model.article import Article, ArticleState

pytestmark = pytest.mark.anyio


async def marked(walk: Walk) -> tuple[int, dict[str, tuple[int, ArticleState]]]:
    """The number of changes, and for each article that of its last, and its state."""
    async with walk.app.database.read() as session:
        columns = select(col(Article.source_key), col(Article.changed), col(Article.state))
        rows = await session.execute(columns)
        return await load_change(session), {key: (last, state) for key, last, state in rows}


async def test_articles_bear_the_number_of_what_was_done_to_them(walk: Walk) -> None:
    walk.write("a.md", "甲")
    walk.write("b.md", "乙")
    await walk.ingest()
    stored, articles = await marked(walk)
    assert {state for _, state in articles.values()} == {ArticleState.PUBLISHED}
    assert all(0 < last <= stored for last, _ in articles.values())
    untouched = articles["a.md"]
    (walk.articles / "b.md").unlink()
    await walk.ingest()
    withdrawn, articles = await marked(walk)
    assert withdrawn > stored
    assert articles["b.md"] == (withdrawn, ArticleState.WITHDRAWN)
    assert articles["a.md"] == untouched
