"""Changed settings and a newer reader reach what was stored long ago, on both databases."""

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from article_builders import DEFAULTS, NOW, Pipeline, make_scan
from sqlalchemy import select, update
from sqlmodel import col

from feedsvc.articles import parse
from feedsvc.articles.parse import Defaults, name_reading
from feedsvc.articles.scans import load_problems
from feedsvc.model.article import Article, ArticleState

pytestmark = pytest.mark.anyio

LATER = NOW + timedelta(hours=1)
ONE = "---\ntitle: One\ndate: 2026-02-01 08:00\n---\n\n[More](more.html)\n"
TWO = "---\ntitle: Two\nlanguage: en\nsection: S\ndate: 2026-02-01T00:00Z\n---\n\nText.\n"


async def article(pipeline: Pipeline, title: str = "One") -> Article:
    async with pipeline.database.read() as session:
        return (
            await session.execute(select(Article).where(col(Article.title) == title))
        ).scalar_one()


@pytest.mark.parametrize(
    ("changed", "column", "value"),
    [
        ({"language": "en"}, "language", "en"),
        ({"section": "News"}, "section", "News"),
        ({"site_url": "https://new.example"}, "content", "https://new.example/more.html"),
        ({"zone": ZoneInfo("UTC")}, "published_at", "2026-02-01 08:00:00+00:00"),
    ],
)
async def test_a_changed_setting_reaches_stored_articles(
    pipeline: Pipeline, changed: dict[str, object], column: str, value: str
) -> None:
    await pipeline.ingest({"a.md": ONE})
    before = await article(pipeline)
    defaults = replace(DEFAULTS, **changed)  # type: ignore[arg-type]
    stored = await pipeline.ingest({"a.md": ONE}, now=LATER, defaults=defaults)
    after = await article(pipeline)
    assert stored.changed == 1
    assert value in str(getattr(after, column))
    assert (after.revision, after.guid, after.seq) == (2, before.guid, before.seq)
    assert after.updated_at == before.updated_at, "its author has changed nothing"


async def test_an_article_that_reads_the_same_in_the_new_way_is_untouched(
    pipeline: Pipeline,
) -> None:
    await pipeline.ingest({"b.md": TWO})
    before = await article(pipeline, "Two")
    defaults = replace(DEFAULTS, language="en", section="News", site_url="https://new.example")
    stored = await pipeline.ingest({"b.md": TWO}, now=LATER, defaults=defaults)
    assert (stored.untouched, stored.anything) == (1, False)
    assert (await article(pipeline, "Two")).model_dump() == before.model_dump()


async def test_everything_is_read_again_once(pipeline: Pipeline) -> None:
    await pipeline.ingest({"a.md": ONE})
    defaults = replace(DEFAULTS, section="News")
    await pipeline.ingest({"a.md": ONE}, defaults=defaults)
    assert (await pipeline.decide(make_scan({"a.md": ONE}), defaults=defaults)).changes == ()
    known = await pipeline.known()
    assert known.fingerprints_for(name_reading(defaults)) == known.fingerprints
    assert known.fingerprints_for(name_reading(DEFAULTS)) == {"a.md": ""}


async def test_a_file_renamed_while_the_settings_changed_is_the_same_article(
    pipeline: Pipeline,
) -> None:
    await pipeline.ingest({"a.md": ONE})
    before = await article(pipeline)
    defaults = replace(DEFAULTS, section="News")
    stored = await pipeline.ingest({"b.md": ONE}, now=LATER, defaults=defaults)
    after = await article(pipeline)
    assert (stored.renamed, stored.changed, stored.new) == (1, 1, 0)
    assert (after.id, after.source_key, after.section) == (before.id, "b.md", "News")


async def test_a_file_being_written_leaves_the_rest_to_the_next_scan(pipeline: Pipeline) -> None:
    await pipeline.ingest({"a.md": ONE, "b.md": TWO})
    defaults = replace(DEFAULTS, section="News")
    await pipeline.ingest({"a.md": ONE, "b.md": TWO}, unread=("a.md",), defaults=defaults)
    assert (await article(pipeline)).section is None
    await pipeline.ingest({"a.md": ONE, "b.md": TWO}, defaults=defaults)
    assert (await article(pipeline)).section == "News"


async def test_what_could_not_be_read_before_is_tried_again(pipeline: Pipeline) -> None:
    await pipeline.ingest({"a.md": "no title"})
    async with pipeline.database.read() as session:
        (before,) = await load_problems(session, "blog")
    stored = await pipeline.ingest(
        {"a.md": "no title"}, now=LATER, defaults=replace(DEFAULTS, section="News")
    )
    assert stored.broken == 1
    async with pipeline.database.read() as session:
        (after,) = await load_problems(session, "blog")
    assert after.seen_at == before.seen_at


@pytest.mark.parametrize("state", [ArticleState.WITHDRAWN, ArticleState.HELD])
async def test_what_is_kept_from_readers_stays_so_when_it_is_read_again(
    pipeline: Pipeline, state: ArticleState
) -> None:
    await pipeline.ingest({"a.md": ONE})
    values = {"state": state} | ({"seq": None} if state is ArticleState.HELD else {})
    async with pipeline.database.write() as session:
        await session.execute(update(Article).values(**values))
    await pipeline.ingest({"a.md": ONE}, defaults=replace(DEFAULTS, section="News"))
    after = await article(pipeline)
    assert (after.state, after.section) == (state, "News")


def test_a_reading_is_named_by_all_that_decides_what_an_item_becomes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes: list[Defaults] = [
        replace(DEFAULTS, language="en"),
        replace(DEFAULTS, section="News"),
        replace(DEFAULTS, zone=ZoneInfo("UTC")),
        replace(DEFAULTS, site_url="https://new.example"),
    ]
    names = {name_reading(DEFAULTS), name_reading(DEFAULTS, "page"), *map(name_reading, changes)}
    assert len(names) == 6
    assert {len(name) for name in names} == {64}
    assert name_reading(replace(DEFAULTS)) in names
    monkeypatch.setattr(parse, "PARSER_VERSION", parse.PARSER_VERSION + 1)
    assert name_reading(DEFAULTS) not in names
