"""A feed that was renamed has what is known of it under its new name, and nothing under the old."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import SQLModel

from feedsvc.articles.changed import mark_changed
from feedsvc.db.engine import Database
from feedsvc.feeds.families import Family, load_specs
from feedsvc.feeds.moves import Move, move_feeds, plan_moves
from feedsvc.feeds.registry import FeedRow
from feedsvc.feeds.spec import FeedSpec
from feedsvc.feeds.states import save_made
from feedsvc.feeds.touched import find_touched
from feedsvc.model.article import Article
from feedsvc.model.feed import (
    Feed,
    FeedArchive,
    FeedClients,
    FeedDocument,
    FeedEntry,
    FeedReader,
)

pytestmark = pytest.mark.anyio
ArticleBuilder = Callable[..., Article]
SpecBuilder = Callable[..., FeedSpec]

NOW = datetime(2026, 3, 2, tzinfo=UTC)
GUID = "00000000-0000-5000-8000-000000000001"
TABLES = (FeedDocument, FeedEntry, FeedArchive, FeedReader, FeedClients)


def rows_of(feed: str, mark: int) -> list[SQLModel]:
    """Something of every kind that is known of a feed; `mark` tells it from another's."""
    body = b"%d" % mark
    plain: dict[str, Any] = {"etag": "e", "last_modified": NOW, "body": body, "body_gzip": body}
    page: dict[str, Any] = {
        "from_seq": 0,
        "to_seq": 9,
        "digest": "d",
        "made_with": "m",
        "last_modified": NOW,
    }
    day = "2026-03-01"
    return [
        *(FeedDocument(feed=feed, format=one, version=mark, **plain) for one in ("rss", "json")),
        *(FeedEntry(feed=feed, article=one, fragment=f"{mark}") for one in (1, 2)),
        *(FeedArchive(feed=feed, number=one, version=mark, seqs=[1], **page) for one in (1, 2)),
        FeedReader(feed=feed, day=day, agent="Feedly", subscribers=mark),
        FeedClients(feed=feed, day=day, bitmap=body),
    ]


async def publish(database: Database, spec: FeedSpec, mark: int, basis: int = 7) -> None:
    """Leave what a publication leaves."""
    async with database.write() as session:
        session.add_all(rows_of(spec.key, mark))
        await save_made(session, spec, basis, NOW + timedelta(hours=1))


async def known(database: Database) -> dict[str, set[int]]:
    """Key of each feed that anything is known of -> the marks of that."""
    found: dict[str, set[int]] = {}
    async with database.read() as session:
        for table in TABLES:
            for row in await session.scalars(select(table)):
                values = row.model_dump()
                mark = next(
                    values[name]
                    for name in ("version", "fragment", "subscribers", "bitmap")
                    if name in values
                )
                found.setdefault(values["feed"], set()).add(int(mark))
    return found


async def load(database: Database, *specs: FeedSpec, families: Any = ()) -> dict[str, FeedSpec]:
    async with database.write() as session:
        return {one.key: one for one in await load_specs(session, specs, families, None, NOW)}


async def test_everything_known_moves_with_a_feed_to_its_new_name_and_back(
    database: Database, make_spec: SpecBuilder
) -> None:
    radio, stays = make_spec(key="radio"), make_spec(key="all")
    before = await load(database, radio, stays)
    await publish(database, radio, 3)
    await publish(database, stays, 4)
    podcast = make_spec(key="podcast", formerly=("wireless", "radio"))
    for specs in ((podcast, stays), (podcast, stays), (podcast, stays, make_spec(key="new"))):
        after = await load(database, *specs)
        assert after["podcast"].guid == before["radio"].guid
        assert await known(database) == {"podcast": {3}, "all": {4}}
    async with database.read() as session:
        old, new = await session.get(Feed, "radio"), await session.get(Feed, "podcast")
    assert old is not None
    assert new is not None
    assert (new.basis, new.renew_at) == (7, NOW + timedelta(hours=1))
    assert (old.made_with, old.basis, old.renew_at) == ("", 0, None)
    back = await load(database, make_spec(key="radio", formerly=("podcast",)), stays)
    assert await known(database) == {"radio": {3}, "all": {4}}
    assert back["radio"].guid == before["radio"].guid


async def test_members_move_to_the_members_for_their_values(
    database: Database, make_spec: SpecBuilder, make_article: ArticleBuilder
) -> None:
    async with database.write() as session:
        session.add(make_article(1, topics=["科技", "C++", "C#"]))
        await session.flush()
        await mark_changed(session, [1])
    topics = Family("topics", "topic", make_spec(key="topics"))
    before = await load(database, families=[topics])
    for mark, spec in enumerate(before.values(), 1):
        await publish(database, spec, mark)
    tags = Family("tags", "topic", make_spec(key="tags", formerly=("topics",)))
    after = await load(database, families=[tags])
    assert {one.key: one.guid for one in after.values()} == {
        key.replace("topics/", "tags/"): one.guid for key, one in before.items()
    }
    marks = {key.replace("topics/", "tags/"): {one} for one, key in enumerate(before, 1)}
    assert await known(database) == marks
    back = Family("topics", "topic", make_spec(key="topics", formerly=("tags",)))
    assert set(await load(database, families=[back])) == set(before)
    assert set(await known(database)) == set(before)


async def test_what_is_known_under_both_names_stays_as_it_is_under_the_new_one(
    database: Database, make_spec: SpecBuilder
) -> None:
    old, new = make_spec(key="old"), make_spec(key="new")
    await load(database, old, new)
    await publish(database, old, 1, basis=9)
    await publish(database, new, 2, basis=5)
    await load(database, make_spec(key="new", formerly=("old",)))
    assert await known(database) == {"new": {2}}
    async with database.read() as session:
        row = await session.get(Feed, "new")
    assert row is not None
    assert row.basis == 5


async def test_of_several_old_names_the_first_that_was_published_counts(
    database: Database, make_spec: SpecBuilder
) -> None:
    specs = [make_spec(key=key) for key in ("a", "b", "c")]
    await load(database, *specs)
    for mark, spec in enumerate(specs[:2], 1):
        await publish(database, spec, mark)
    await load(database, make_spec(key="d", formerly=("c", "b", "a")))
    assert await known(database) == {"d": {2}}


async def test_nodes_that_start_together_move_a_feed_once(
    database: Database, make_spec: SpecBuilder
) -> None:
    before = await load(database, make_spec(key="radio"))
    await publish(database, before["radio"], 3)
    renamed = make_spec(key="podcast", formerly=("radio",))
    found = await asyncio.gather(*(load(database, renamed) for _ in range(4)))
    assert {one["podcast"].guid for one in found} == {before["radio"].guid}
    assert await known(database) == {"podcast": {3}}


async def test_a_thousand_members_move_in_a_few_statements_and_twice_is_once(
    database: Database,
) -> None:
    moves = [Move(f"topics/{one}", f"tags/{one}") for one in range(1000)]
    async with database.write() as session:
        for number, move in enumerate(moves):
            session.add(Feed(key=move.before, guid=GUID, created_at=NOW, made_with="m"))
            session.add(Feed(key=move.after, guid=GUID, created_at=NOW))
            session.add(FeedEntry(feed=move.before, article=number, fragment="1"))
    for _ in range(2):
        async with database.write() as session:
            await move_feeds(session, moves)
        assert await known(database) == {move.after: {1} for move in moves}


async def test_changes_that_a_renamed_feed_missed_are_looked_for_on_its_pages(
    database: Database, make_spec: SpecBuilder
) -> None:
    radio, stays = make_spec(key="radio"), make_spec(key="all")
    await load(database, radio, stays)
    await publish(database, radio, 3, basis=7)
    await publish(database, stays, 4, basis=9)
    specs = await load(database, make_spec(key="podcast", formerly=("radio",)), stays)
    async with database.read() as session:
        touched = await find_touched(session, list(specs.values()), 9, NOW)
    assert "podcast" in {spec.key for spec in touched.specs}
    assert touched.seqs_for("podcast") is None
    assert touched.bases["podcast"] == 7


def test_only_what_was_published_moves_and_only_where_there_is_a_row() -> None:
    rows = [
        FeedRow("radio", None, None, GUID, "m"),
        FeedRow("silent", None, None, GUID),
        FeedRow("podcast", None, None, GUID),
        FeedRow("topics/c", "topics", "C", GUID, "m"),
        FeedRow("topics/d", "topics", "D", GUID, "m"),
        FeedRow("tags/c-2", "tags", "C", GUID),
    ]
    formerly = {"podcast": ("silent", "radio"), "tags": ("topics",), "gone": ("other",)}
    moves = plan_moves(formerly, {row.key: row for row in rows})
    assert sorted(moves) == [Move("radio", "podcast"), Move("topics/c", "tags/c-2")]
