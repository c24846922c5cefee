"""Taking withdrawn articles out of mails that wait: what the new mail holds, and who gets it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from edition_desk import DAY, NOW, Desk
from sqlalchemy import select, text
from sqlmodel import col

from feedsvc.editions.compose import ArticleFacts, Item, Rules
from feedsvc.editions.withdrawals import (
    Moved,
    find_affected,
    load_affected,
    load_withdrawn,
    move_mails,
)
from feedsvc.editions.without import Affected, plan_without
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.delivery import Delivery
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.edition import Cohort, CohortItem, EditionKind, ItemOutcome
from feedsvc.model.edition import EditionState as E
from feedsvc.model.edition import ItemOutcome as O
from feedsvc.model.newsletter import Arrangement, Newsletter, OnWithdrawal

pytestmark = pytest.mark.anyio
RULES = Rules(max_items=0, arrangement=Arrangement())


def facts(number: int, **values: Any) -> ArticleFacts:
    """An article as it is now; the lower its number, the newer its date."""
    usual = ArticleFacts(
        id=number,
        seq=number,
        revision=1,
        published_at=NOW - timedelta(hours=number),
        state=ArticleState.PUBLISHED,
        source="folder",
        section=None,
        topics=frozenset(),
        language="zh",
    )
    return replace(usual, **values)


def mail(*items: tuple[int, O], **articles: Any) -> Affected:
    """A cohort of these items; `gone=(1, 2)` are withdrawn now, `story=(2, 3)` tell the same."""
    gone, story = articles.get("gone", ()), articles.get("story", ())
    return Affected(
        cohort_id=1,
        language="zh",
        theme="plain",
        content_key="k",
        items=tuple(Item(number, 1, outcome) for number, outcome in items),
        facts={
            number: facts(
                number,
                state=ArticleState.WITHDRAWN if number in gone else ArticleState.PUBLISHED,
                story="s" if number in story else None,
                **articles.get("values", {}).get(number, {}),
            )
            for number, _ in items
        },
    )


M, MORE, GONE = O.MAILED, O.AND_MORE, O.WITHDRAWN
PLANS = [
    pytest.param(
        mail((1, M), (2, M), gone=(1,)), [(2, M), (1, GONE)], id="the rest stays as it was"
    ),
    pytest.param(
        mail((1, M), (2, M), (3, MORE), (4, MORE), gone=(1,)),
        [(2, M), (3, M), (1, GONE), (4, MORE)],
        id="what was only counted moves up",
    ),
    pytest.param(
        mail((1, M), (2, MORE), gone=(1, 2)), None, id="nothing that was counted is left either"
    ),
    pytest.param(
        mail((1, M), (2, O.DUPLICATE), gone=(1,), story=(1, 2)),
        [(2, M), (1, GONE)],
        id="the other article of its story is told",
    ),
    pytest.param(
        mail((1, M), (2, O.DUPLICATE), gone=(1,)),
        None,
        id="what they had in an earlier mail is not told again",
    ),
    pytest.param(
        mail((1, M), (2, M), (3, O.DROPPED), (4, GONE), gone=(2, 4)),
        [(1, M), (2, GONE), (3, O.DROPPED), (4, GONE)],
        id="what was decided before stays",
    ),
    pytest.param(
        mail((1, M), (2, M), (3, GONE), gone=(1,)),
        [(2, M), (1, GONE), (3, GONE)],
        id="what has come back meanwhile stays out",
    ),
    pytest.param(
        mail((1, M), (2, M), gone=(1,), values={2: {"revision": 5}}),
        [(2, M), (1, GONE)],
        id="what was edited since goes as it is now",
    ),
]


@pytest.mark.parametrize(("cohort", "items"), PLANS)
def test_the_new_mail_holds_what_composing_would_choose_now(
    cohort: Affected, items: list[tuple[int, O]] | None
) -> None:
    plan = plan_without(cohort, RULES)
    if items is None:
        assert plan is None
        return
    assert plan is not None
    assert [(one.article_id, one.outcome) for one in plan.items] == items
    shown = [one for one in plan.items if one.outcome is O.MAILED]
    assert [one.revision for one in shown] == [
        cohort.facts[one.article_id].revision for one in shown
    ]
    assert plan.key != cohort.content_key


def test_articles_of_a_section_stay_together_when_one_moves_up() -> None:
    sections = {1: "A", 2: "B", 3: "A"}
    values = {number: {"section": section} for number, section in sections.items()}
    cohort = mail((1, M), (2, M), (3, MORE), gone=(1,), values=values)
    rules = replace(RULES, arrangement=Arrangement(by_section=True))
    plan = plan_without(cohort, rules)
    assert plan is not None
    assert [one.article_id for one in plan.items] == [3, 2, 1]


def test_a_second_withdrawal_makes_another_mail() -> None:
    first = plan_without(mail((1, M), (2, M), (3, M), gone=(1,)), RULES)
    assert first is not None
    items = tuple((one.article_id, one.outcome) for one in first.items)
    second = plan_without(replace(mail(*items, gone=(1, 2)), content_key=first.key), RULES)
    assert second is not None
    assert second.key != first.key


async def add_article(desk: Desk, seq: int, *, withdrawn_days_ago: float | None = None) -> int:
    at = None if withdrawn_days_ago is None else NOW - timedelta(days=withdrawn_days_ago)
    async with desk.database.write() as session:
        article = Article(
            source="folder",
            source_key=f"{seq}.md",
            fingerprint=f"{seq:064d}",
            seq=seq,
            guid=f"urn:article:{seq}",
            slug=f"article-{seq}",
            title=f"标题 {seq}",
            language="zh-CN",
            published_at=NOW,
            updated_at=NOW,
            content="<p>正文。</p>",
            summary="正文。",
            content_hash=f"{seq:064d}",
            state=ArticleState.PUBLISHED if at is None else ArticleState.WITHDRAWN,
            withdrawn_at=at,
            stored_at=NOW,
        )
        session.add(article)
        await session.flush()
        return article.id or 0


async def show(
    desk: Desk, edition_id: int, *articles: int, outcome: ItemOutcome = O.MAILED
) -> None:
    async with desk.database.write() as session:
        session.add_all(
            CohortItem(
                cohort_id=desk.cohorts[edition_id],
                article_id=one,
                revision=1,
                position=place,
                outcome=outcome,
            )
            for place, one in enumerate(articles)
        )
        await session.flush()


async def affected(desk: Desk) -> list[int]:
    async with desk.database.read() as session:
        return await find_affected(session, await load_withdrawn(session, NOW))


@pytest.mark.parametrize(
    ("state", "is_affected"),
    [
        (E.FROZEN, True),
        (E.SENDING, True),
        (E.PAUSED, True),
        (E.COMPOSING, True),
        (E.DONE, False),
        (E.CANCELLED, False),
    ],
)
async def test_editions_that_would_still_mail_it_are_found(
    desk: Desk, state: E, is_affected: bool
) -> None:
    gone, stays = await add_article(desk, 11, withdrawn_days_ago=2), await add_article(desk, 12)
    edition_id = await desk.add_edition(state)
    await show(desk, edition_id, gone, stays)
    await desk.add_mail(edition_id, "alice")
    assert await affected(desk) == ([edition_id] if is_affected else [])


async def test_nothing_is_found_where_it_is_not_shown_or_nobody_waits(desk: Desk) -> None:
    gone = await add_article(desk, 11, withdrawn_days_ago=2)
    long_ago = await add_article(desk, 12, withdrawn_days_ago=40)
    counted = await desk.add_edition()
    await show(desk, counted, gone, outcome=O.AND_MORE)
    await desk.add_mail(counted, "alice")
    through = await desk.add_edition()
    await show(desk, through, gone)
    for state in (S.SENT, S.CLAIMED, S.DOT, S.UNCERTAIN, S.HELD, S.FAILED):
        await desk.add_mail(through, state, state)
    old = await desk.add_edition()
    await show(desk, old, long_ago)
    await desk.add_mail(old, "bob")
    assert await affected(desk) == []


async def test_looking_for_withdrawals_reads_no_more_than_was_withdrawn(desk: Desk) -> None:
    if desk.database.kind != "sqlite":
        return
    async with desk.database.read() as session:
        found = await session.execute(
            text(
                "EXPLAIN QUERY PLAN SELECT id FROM article WHERE withdrawn_at > :since"
                " ORDER BY withdrawn_at DESC LIMIT 500"
            ),
            {"since": "2026-01-01"},
        )
        assert "ix_article_withdrawn" in " ".join(row[3] for row in found.all())


@pytest.fixture
async def mid_send(desk: Desk) -> Desk:
    """An edition of two articles, one of them withdrawn; its mails in every state."""
    edition_id = await desk.add_edition()
    gone = await add_article(desk, 11, withdrawn_days_ago=0)
    await show(desk, edition_id, gone, await add_article(desk, 12))
    dotted = {"date_at": NOW - DAY, "address": "x@example.com", "signed_with": "s", "renderer": "1"}
    await desk.add_mail(edition_id, "waits")
    await desk.add_mail(edition_id, "refused", S.DEFERRED, attempt=1, **dotted)
    await desk.add_mail(edition_id, "doubted", S.PENDING, doubts=1, attempt=1, **dotted)
    await desk.add_mail(edition_id, "claimed", S.CLAIMED, worker="w")
    await desk.add_mail(edition_id, "dotted", S.DOT, worker="w", **dotted)
    await desk.add_mail(edition_id, "sent", S.SENT, **dotted)
    return desk


async def move(desk: Desk, *, empty: bool) -> tuple[Moved, int | None]:
    (edition_id,) = desk.cohorts
    async with desk.database.read() as session:
        found = await load_affected(session, edition_id, await load_withdrawn(session, NOW))
    assert found is not None
    assert found.titles == ("标题 11",)
    to = None
    if not empty:
        async with desk.database.write() as session:
            cohort = Cohort(
                edition_id=edition_id,
                content_key="without",
                language="zh-CN",
                theme="plain",
                subject="s",
                html="h",
                text="t",
                page="p",
            )
            session.add(cohort)
            await session.flush()
            to = cohort.id
    moved, some = Moved(), Moved(1)
    while some.total:
        async with desk.database.write() as session:
            some = await move_mails(session, found.cohorts[0], edition_id, to, NOW)
        moved += some
    return moved, to


async def mails(desk: Desk) -> dict[str, Delivery]:
    async with desk.database.read() as session:
        rows = await session.execute(select(Delivery).order_by(col(Delivery.id)))
        by_reader = {number: name for name, number in desk.readers.items()}
        return {by_reader[one.subscription_id or 0]: one for one in rows.scalars()}


async def test_what_nobody_can_have_goes_without_it_and_nothing_else_changes(
    mid_send: Desk,
) -> None:
    before = await mails(mid_send)
    moved, to = await move(mid_send, empty=False)
    after = await mails(mid_send)
    assert moved == Moved(without=2, left=1)
    for name in ("waits", "refused"):
        row = after[name]
        assert (row.cohort_id, row.state) == (to, before[name].state)
        # Its content is another one: nothing of the mail before is to be repeated.
        assert (row.date_at, row.address, row.signed_with, row.renderer) == (None,) * 4
    for name in ("claimed", "dotted", "sent"):
        assert after[name] == before[name]


async def test_what_somebody_may_have_is_not_sent_again_with_other_content(mid_send: Desk) -> None:
    await move(mid_send, empty=False)
    row = (await mails(mid_send))["doubted"]
    assert row.state is S.UNCERTAIN
    assert row.cohort_id == next(iter(mid_send.cohorts.values()))
    assert row.reason == (
        "may have arrived; not sent once more, because an article in it was withdrawn"
    )
    assert await mid_send.cursor("doubted") == 10  # the other article comes with the next digest


async def test_where_nothing_is_left_the_window_is_settled(mid_send: Desk) -> None:
    await mid_send.change(Delivery, (await mails(mid_send))["waits"].id or 0, from_seq=9)
    moved, _ = await move(mid_send, empty=True)
    assert moved == Moved(emptied=2, left=1)
    after = await mails(mid_send)
    for name in ("waits", "refused"):
        assert (after[name].state, after[name].reason) == (
            S.SKIPPED,
            "nothing is left of it: its articles were withdrawn",
        )
    assert await mid_send.cursor("refused") == 20
    assert await mid_send.cursor("waits") == 10  # its window was not the open one
    assert await mid_send.cursor("claimed") == 10


async def test_a_welcome_goes_on_even_where_editions_stop(desk: Desk) -> None:
    await desk.change(Newsletter, desk.newsletter_id, on_withdrawal=OnWithdrawal.STOP)
    gone = await add_article(desk, 11, withdrawn_days_ago=0)
    stops = []
    for kind in (EditionKind.DIGEST, EditionKind.WELCOME):
        edition_id = await desk.add_edition(kind=kind)
        await show(desk, edition_id, gone)
        await desk.add_mail(edition_id, kind)
        async with desk.database.read() as session:
            found = await load_affected(session, edition_id, await load_withdrawn(session, NOW))
        assert found is not None
        stops.append(found.stops)
    assert stops == [True, False]
