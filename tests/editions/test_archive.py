"""Which editions anybody may read, on either database; and that finding them looks at few rows."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from edition_desk import DAY, NOW, Desk
from sqlalchemy import event, insert
from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.db.engine import Database
from feedsvc.editions.archive import (
    CohortChoice,
    choose_cohort,
    find_archived,
    find_neighbours,
    find_public,
    list_archived,
    load_letters,
)
from feedsvc.editions.stored_mail import load_shown, load_stored, load_versions
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.edition import (
    Cohort,
    CohortItem,
    Edition,
    EditionKind,
    GroupOutcome,
    ItemOutcome,
    Letter,
    ReaderGroupRow,
    Wave,
)
from feedsvc.model.edition import EditionState as E
from feedsvc.model.newsletter import Newsletter

pytestmark = pytest.mark.anyio


async def newsletter_of(desk: Desk, session: AsyncSession) -> Newsletter:
    found = await find_public(session, "daily")
    assert found is not None
    return found.newsletter


async def listed(desk: Desk, **limits: Any) -> list[int]:
    async with desk.database.read() as session:
        newsletter = await newsletter_of(desk, session)
        return [one.id for one in await list_archived(session, newsletter, 30, **limits)]


@pytest.mark.parametrize(
    ("cohorts", "chosen"),
    [
        ([CohortChoice(1, "en"), CohortChoice(2, "zh")], 2),
        ([CohortChoice(1, "zh-TW"), CohortChoice(2, "zh")], 1),
        ([CohortChoice(1, "zh", "", 90, 0), CohortChoice(2, "zh", "", 3, 3)], 2),
        ([CohortChoice(1, "zh", "", 90, 3), CohortChoice(2, "zh", "", 5, 5)], 2),
        ([CohortChoice(1, "zh", "", 4, 0), CohortChoice(2, "zh", "", 5, 0)], 2),
        ([CohortChoice(2, "zh", "", 5, 5), CohortChoice(1, "zh", "", 5, 5)], 1),
        ([CohortChoice(1, "en", "", 90, 90), CohortChoice(2, "zh", "", 1, 0)], 2),
        ([CohortChoice(1, "en", "", 1, 1), CohortChoice(2, "fr", "", 9, 9)], 2),
    ],
    ids=[
        *("language", "dialect", "all topics", "most with all", "most", "first"),
        *("language first", "no such language"),
    ],
)
def test_the_mail_that_stands_for_an_edition_is_the_usual_one(
    cohorts: list[CohortChoice], chosen: int
) -> None:
    assert choose_cohort(cohorts, "zh-CN").id == chosen


async def test_only_what_went_to_everybody_is_in_the_archive(desk: Desk) -> None:
    shown = [await desk.add_edition(E.DONE), await desk.add_edition(E.SENDING)]
    for state in (E.DRAFT, E.COMPOSING, E.FROZEN, E.PAUSED, E.CANCELLED, E.SKIPPED):
        await desk.add_edition(state)
    await desk.add_edition(E.DONE, by_hand=True)
    for kind in (EditionKind.WELCOME, EditionKind.CORRECTION):
        await desk.add_edition(E.DONE, by_hand=True, kind=kind)
    for audience in ({}, {"languages": ["en"]}):
        number = await desk.add_edition(E.DONE, by_hand=True, kind=EditionKind.ANNOUNCEMENT)
        async with desk.database.write() as session:
            session.add(Letter(edition_id=number, subject="s", body="搬家", audience=audience))
        if not audience:
            shown.append(number)
    assert await listed(desk) == shown[::-1]
    assert await listed(desk, before=shown[1]) == shown[:1]
    async with desk.database.read() as session:
        newsletter = await newsletter_of(desk, session)
        assert await find_neighbours(session, newsletter, shown[1]) == (shown[0], shown[2])
        assert await find_neighbours(session, newsletter, shown[0]) == (None, shown[1])
        assert await find_archived(session, newsletter, shown[0]) is not None
        assert await find_archived(session, newsletter, 999) is None
        assert await load_letters(session, shown) == {shown[2]: "搬家"}


async def test_readers_of_all_waves_decide_which_mail_is_shown(desk: Desk) -> None:
    number = await desk.add_edition(E.DONE)
    async with desk.database.write() as session:
        second = Cohort(
            edition_id=number,
            content_key="other",
            language="zh-CN",
            theme="plain",
            subject="人人都收到的",
            html="h",
            text="t",
            page="p",
        )
        waves = [
            Wave(edition_id=number, zone=zone, due_at=NOW, cut_seq=20, composed_at=NOW + hour)
            for zone, hour in (("Europe/Berlin", DAY / 4), ("America/Lima", DAY / 2))
        ]
        session.add_all([second, *waves])
        await session.flush()
        for wave, cohort_id, topics, readers in (
            (waves[0], desk.cohorts[number], [], 30),
            (waves[0], desk.cohorts[number], ["音乐"], 900),
            (waves[0], second.id, [], 20),
            (waves[1], second.id, [], 15),
            (waves[1], None, ["茶"], 99),
        ):
            session.add(
                ReaderGroupRow(
                    wave_id=wave.id or 0,
                    from_seq=readers,
                    topics=topics,
                    language="zh",
                    outcome=GroupOutcome.MAILED if cohort_id else GroupOutcome.NOTHING,
                    cohort_id=cohort_id,
                    readers=readers,
                )
            )
    async with desk.database.read() as session:
        newsletter = await newsletter_of(desk, session)
        (edition,) = await list_archived(session, newsletter, 30)
    assert edition.subject == "人人都收到的"
    assert edition.composed_at == NOW + DAY / 2
    assert (edition.due_at, edition.frozen_at, edition.created_at) == (NOW, NOW, NOW)
    assert edition.schedule == "每天早上"


async def test_a_stored_mail_knows_what_is_gone_and_what_is_left(desk: Desk) -> None:
    number = await desk.add_edition(E.DONE)
    cohort_id = desk.cohorts[number]
    left = {"published": ArticleState.PUBLISHED, "gone": ArticleState.WITHDRAWN}
    async with desk.database.write() as session:
        for seq, (slug, state) in enumerate({**left, "dropped": ArticleState.WITHDRAWN}.items(), 1):
            article = Article(**article_values(slug, seq), state=state)
            session.add(article)
            await session.flush()
            outcome = ItemOutcome.DROPPED if slug == "dropped" else ItemOutcome.AND_MORE
            session.add(
                CohortItem(
                    cohort_id=cohort_id,
                    article_id=article.id or 0,
                    revision=1,
                    position=seq,
                    outcome=ItemOutcome.MAILED if slug == "published" else outcome,
                )
            )
    async with desk.database.read() as session:
        mail = await load_stored(session, cohort_id)
        shown = await load_shown(session, [cohort_id], "https://news.example.com")
        assert await load_stored(session, 999) is None
    assert mail is not None
    assert (mail.page, mail.newsletter, mail.due_at) == ("p", "每日新闻", NOW)
    assert [(one.slug, one.excerpted) for one in mail.gone] == [("gone", False)]
    (article,) = shown[cohort_id]
    assert (article.address, article.excerpted) == (
        "https://news.example.com/articles/published",
        True,
    )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_no_page_of_the_archive_looks_through_all_editions(desk: Desk) -> None:
    await add_many(desk)
    with recorded(desk.database) as statements:
        async with desk.database.read() as session:
            newsletter = await newsletter_of(desk, session)
            found = await list_archived(session, newsletter, 30, before=9_000)
            await find_neighbours(session, newsletter, found[0].id)
            await find_archived(session, newsletter, found[0].id)
            await load_stored(session, found[0].cohort_id)
            await load_shown(session, [one.cohort_id for one in found], "")
            await load_versions(session, [one.cohort_id for one in found])
    assert len(found) == 30
    assert len(statements) >= 10
    slow = {}
    async with desk.database.engine.connect() as connection:
        for statement, parameters in statements.items():
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps = [row[3] for row in plan]
            if any(re.match(r"SCAN (edition|cohort|wave|reader_group)", step) for step in steps):
                slow[statement] = steps
            if "LIMIT" in statement and any("TEMP B-TREE" in step for step in steps):
                slow[statement] = steps
    assert slow == {}


async def add_many(desk: Desk) -> None:
    """10 000 editions of two newsletters."""
    async with desk.database.write() as session:
        session.add(Newsletter(**newsletter_values("weekly")))
        await session.flush()
        edition = [
            {
                "newsletter_id": 1 + number % 2,
                "schedule_id": desk.schedule_id,
                "kind": EditionKind.DIGEST,
                "period": str(number),
                "state": E.DONE,
                "created_at": NOW,
                "counters": {},
                "curation": {},
            }
            for number in range(10_000)
        ]
        await session.execute(insert(Edition), edition)
        cohort = {"content_key": "k", "language": "zh", "theme": "plain", "subject": "s"}
        parts = {"html": "", "text": "", "page": "p"}
        await session.execute(
            insert(Cohort), [{"edition_id": one, **cohort, **parts} for one in range(1, 10_001)]
        )


@contextmanager
def recorded(database: Database) -> Iterator[dict[str, Any]]:
    """The statements that read editions or what belongs to them, with their parameters."""
    engine, found = database.engine.sync_engine, dict[str, Any]()

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            found[statement] = parameters

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def newsletter_values(key: str) -> dict[str, Any]:
    return {
        "key": key,
        "title": key,
        "language": "en",
        "from_name": "News",
        "from_address": "news@example.com",
        "sender": "Example News",
        "postal_address": "1 Example Road",
    }


def article_values(slug: str, seq: int) -> dict[str, Any]:
    return {
        "source": "folder",
        "source_key": slug,
        "fingerprint": "f",
        "seq": seq,
        "guid": slug,
        "slug": slug,
        "title": slug,
        "language": "zh",
        "published_at": NOW,
        "updated_at": NOW,
        "content": "",
        "summary": "s",
        "content_hash": "h",
        "stored_at": NOW,
    }
