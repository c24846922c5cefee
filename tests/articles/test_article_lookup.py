"""Finding articles: what a person types, and what the public may see."""

import pytest
from article_builders import Pipeline

from feedsvc.articles.lookup import (
    article_by_slug,
    find_article,
    find_titled_article,
    list_recent,
)
from feedsvc.errors import NotFound
from feedsvc.model.article import ArticleState

pytestmark = pytest.mark.anyio


def text(title: str, more: str = "") -> str:
    return f"---\ntitle: {title}\ndate: 2026-02-01\n{more}\n---\n正文。\n"


async def fill(pipeline: Pipeline) -> None:
    await pipeline.ingest(
        {
            "one.md": text("One", "url: https://old.example/one\nsection: 科技"),
            "two.md": text("Two", "section: 社会"),
            "three.md": text("Three", "section: 科技"),
            "draft.md": text("Draft", "draft: true"),
        }
    )


async def test_an_article_is_found_by_whatever_names_it(pipeline: Pipeline) -> None:
    await fill(pipeline)
    async with pipeline.database.read() as session:
        one = await find_article(session, "one")
        for name in (str(one.id), one.guid, "https://old.example/one", " one.md "):
            assert (await find_article(session, name)).id == one.id
        for nothing in ("", "nothing", "99999999999999999999", "-1", "²"):
            with pytest.raises(NotFound):
                await find_article(session, nothing)


async def test_the_public_sees_what_was_published(pipeline: Pipeline) -> None:
    await fill(pipeline)
    async with pipeline.database.read() as session:
        assert (await article_by_slug(session, "one")).title == "One"
        for hidden in ("draft", "nothing", "1"):
            with pytest.raises(NotFound):
                await article_by_slug(session, hidden)


async def test_a_withdrawn_article_is_found_as_such(pipeline: Pipeline) -> None:
    await fill(pipeline)
    await pipeline.ingest({}, allow_mass_withdrawal=True)
    async with pipeline.database.read() as session:
        assert (await article_by_slug(session, "one")).state is ArticleState.WITHDRAWN
        assert await list_recent(session, 10) == []


async def test_recent_articles_come_newest_first_in_pages(pipeline: Pipeline) -> None:
    await fill(pipeline)
    async with pipeline.database.read() as session:
        first = await list_recent(session, 2)
        rest = await list_recent(session, 2, before_seq=first[-1].seq)
        assert [one.seq for one in first + rest] == [3, 2, 1]
        assert {one.title for one in await list_recent(session, 9, section="科技")} == {
            "One",
            "Three",
        }


async def test_an_article_is_found_by_a_part_of_its_title_if_only_one_has_it(
    pipeline: Pipeline,
) -> None:
    await pipeline.ingest(
        {"a.md": text("夜市 100% 回来了"), "b.md": text("Night buses"), "c.md": text("Night trams")}
    )
    async with pipeline.database.read() as session:
        for part in ("100%", "回来", " 夜市 "):
            assert (await find_titled_article(session, part)).title == "夜市 100% 回来了"
        assert (await find_titled_article(session, "BUSES")).title == "Night buses"
        assert (await find_titled_article(session, "a.md")).title == "夜市 100% 回来了"
        with pytest.raises(NotFound, match="in several titles, say an id: 3 Night trams; 2 Night"):
            await find_titled_article(session, "night")
        for nothing in ("", " ", "1000%", "_ight"):
            with pytest.raises(NotFound):
                await find_titled_article(session, nothing)
