"""A draft waits for a person; what they decide holds, and nobody decides after it has gone."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from edition_desk import NOW
from review_desk import DUE, ReviewDesk, at
from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.db.engine import Database
from feedsvc.editions.composing import find_waves, load_composing
from feedsvc.editions.contents import Contents, load_contents
from feedsvc.editions.control import (
    cancel_edition,
    finish_cancelled,
    pause_edition,
    resume_edition,
)
from feedsvc.editions.review import (
    INTRO_LIMIT,
    approve,
    close_due_drafts,
    drop_article,
    has_due_drafts,
    refresh,
    reorder,
    set_intro,
    skip_draft,
    undrop_article,
)
from feedsvc.errors import EditionOver, NotFound, TextUnusable
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.edition import Edition, EditionKind, Letter, Wave
from feedsvc.model.edition import EditionState as E
from feedsvc.model.newsletter import DroppedArticle, Schedule, Unapproved

pytestmark = pytest.mark.anyio


@pytest.fixture
async def desk(database: Database) -> ReviewDesk:
    """A reader who has all up to the first of four articles."""
    desk = ReviewDesk(database)
    await desk.open()
    await desk.change_newsletter(review="draft")
    for title in ("旧闻", "夜市回来了", "Night buses", "屋顶花园"):
        await desk.publish(title)
    await desk.join("li.lei", cursor=1)
    return desk


async def contents(desk: ReviewDesk, edition_id: int) -> Contents:
    async with desk.database.read() as session:
        return await load_contents(session, await session.get_one(Edition, edition_id))


async def titles(desk: ReviewDesk, edition_id: int, outcome: str = "mailed") -> list[str]:
    """What a draft would do so with, in its order."""
    held = (await contents(desk, edition_id)).articles
    return [one.title for one in held if outcome in one.outcomes]


# What a draft holds


async def test_a_draft_holds_what_its_readers_lack_newest_first(desk: ReviewDesk) -> None:
    draft = await desk.draft()
    await desk.publish("太晚了")
    await desk.join("alice", cursor=3)
    await desk.join("bob", cursor=4)
    held = await contents(desk, draft)
    assert [(one.title, one.outcomes) for one in held.articles] == [
        ("屋顶花园", {"mailed": 2}),
        ("Night buses", {"mailed": 1}),
        ("夜市回来了", {"mailed": 1}),
    ]
    assert held.readers == 2


async def test_a_draft_without_readers_holds_nothing(desk: ReviewDesk) -> None:
    await desk.join("bob", cursor=4)
    draft = await desk.draft(cut_seq=1)
    held = await contents(desk, draft)
    assert (held.readers, held.articles) == (0, ())


async def test_a_draft_says_what_is_withdrawn_and_what_is_beyond_its_limit(
    desk: ReviewDesk,
) -> None:
    draft = await desk.draft()
    await desk.change(Article, desk.articles["夜市回来了"], state=ArticleState.WITHDRAWN)
    await desk.change(Schedule, desk.schedule_id, max_items=1)
    assert await titles(desk, draft) == ["屋顶花园"]
    assert await titles(desk, draft, "and_more") == ["Night buses"]
    assert await titles(desk, draft, "withdrawn") == ["夜市回来了"]


# Curation


async def test_an_article_is_dropped_from_one_edition_and_taken_back(desk: ReviewDesk) -> None:
    draft, market = await desk.draft(), desk.articles["夜市回来了"]
    assert await desk.do(drop_article, draft, market, "operator", NOW)
    assert not await desk.do(drop_article, draft, market, "operator", NOW)
    assert await titles(desk, draft, "dropped") == ["夜市回来了"]
    later = await desk.draft(period="later")
    assert "夜市回来了" in await titles(desk, later)
    assert await desk.do(undrop_article, draft, market)
    assert not await desk.do(undrop_article, draft, market)
    assert await titles(desk, draft) == ["屋顶花园", "Night buses", "夜市回来了"]


async def test_an_article_dropped_for_good_is_in_no_later_edition_either(desk: ReviewDesk) -> None:
    draft, market = await desk.draft(), desk.articles["夜市回来了"]
    later = await desk.draft(period="later")
    assert await desk.do(drop_article, draft, market, "operator", NOW, for_good=True)
    assert not await desk.do(drop_article, draft, market, "operator", NOW, for_good=True)
    for edition in (draft, later):
        assert await titles(desk, edition, "dropped") == ["夜市回来了"]
    (dropped,) = [one for one in (await contents(desk, later)).articles if one.dropped_for_good]
    assert dropped.id == market
    async with desk.database.read() as session:
        row = await session.get_one(DroppedArticle, (desk.newsletter_id, market))
        assert (row.by, row.at) == ("operator", NOW)
    assert await desk.do(undrop_article, later, market)
    assert "夜市回来了" in await titles(desk, later)
    # Of the other it was left out by itself, too.
    assert await titles(desk, draft, "dropped") == ["夜市回来了"]


async def test_an_article_that_is_yet_to_come_may_be_dropped_for_good(desk: ReviewDesk) -> None:
    draft = await desk.draft()
    coming = await desk.publish("以后的")
    with pytest.raises(NotFound, match=f"not in edition {draft}: {coming};"):
        await desk.do(drop_article, draft, coming, "operator", NOW)
    assert await desk.do(drop_article, draft, coming, "operator", NOW, for_good=True)
    with pytest.raises(NotFound, match="no article 999"):
        await desk.do(drop_article, draft, 999, "operator", NOW, for_good=True)


async def test_articles_put_first_come_first_in_that_order(desk: ReviewDesk) -> None:
    draft = await desk.draft()
    ids = [desk.articles["夜市回来了"], desk.articles["Night buses"]]
    await desk.do(reorder, draft, [*ids, ids[0]])
    assert await titles(desk, draft) == ["夜市回来了", "Night buses", "屋顶花园"]
    assert [one.first for one in (await contents(desk, draft)).articles] == [True, True, False]
    assert (await desk.curation(draft)).order == tuple(ids)
    await desk.do(reorder, draft, [])
    assert await titles(desk, draft) == ["屋顶花园", "Night buses", "夜市回来了"]


@pytest.mark.parametrize("title", ["旧闻", "太晚了"])
async def test_what_a_draft_does_not_hold_cannot_be_put_first(desk: ReviewDesk, title: str) -> None:
    draft = await desk.draft()
    await desk.publish("太晚了")
    with pytest.raises(NotFound, match=f"not in edition {draft}: {desk.articles[title]};"):
        await desk.do(reorder, draft, [desk.articles[title]])
    assert (await desk.curation(draft)).order == ()


async def test_an_intro_is_kept_as_markdown_without_what_cannot_be_stored(
    desk: ReviewDesk,
) -> None:
    draft = await desk.draft()
    await desk.do(set_intro, draft, " 大家好，\r\n*本周*\x00\ud800 \n")
    assert (await desk.curation(draft)).intro == "大家好，\n*本周*"
    with pytest.raises(TextUnusable, match="the intro has 10001 characters; at most 10000"):
        await desk.do(set_intro, draft, "字" * (INTRO_LIMIT + 1))
    await desk.do(set_intro, draft, "字" * INTRO_LIMIT)
    await desk.do(set_intro, draft, "")
    assert (await desk.curation(draft)).intro == ""


async def test_a_refreshed_draft_holds_what_has_come_since_and_keeps_what_was_decided(
    desk: ReviewDesk,
) -> None:
    draft = await desk.draft()
    await desk.do(set_intro, draft, "大家好")
    await desk.publish("刚刚")
    assert await desk.do(refresh, draft) == 5
    assert (await titles(desk, draft))[0] == "刚刚"
    edition = await desk.edition(draft)
    assert (edition.cut_seq, [one.cut_seq for one in await desk.waves(draft)]) == (5, [5])
    assert (await desk.curation(draft)).intro == "大家好"


# Approval, and the deadline


async def test_an_approved_edition_is_composed_when_its_hour_has_come(desk: ReviewDesk) -> None:
    draft = await desk.draft()
    assert await desk.do(approve, draft, "operator", at(1))
    assert (await desk.edition(draft)).state is E.COMPOSING
    curation = await desk.curation(draft)
    assert (curation.approved_at, curation.approved_by) == (at(1).isoformat(), "operator")
    async with desk.database.read() as session:
        assert await find_waves(session, draft, at(1.5)) == []
        assert len(await find_waves(session, draft, DUE)) == 1
    assert not await desk.do(approve, draft, "somebody", at(1.2))
    assert (await desk.curation(draft)).approved_by == "operator"


async def test_what_is_dropped_for_good_after_the_approval_stays_in_the_edition(
    desk: ReviewDesk,
) -> None:
    draft, later = await desk.draft(), await desk.draft(period="later")
    bus, market = desk.articles["Night buses"], desk.articles["夜市回来了"]
    await desk.do(drop_article, later, bus, "operator", NOW, for_good=True)
    await desk.do(approve, draft, "operator", NOW)
    await desk.do(drop_article, later, market, "operator", NOW, for_good=True)
    await desk.do(undrop_article, later, bus)
    assert (await desk.curation(draft)).dropped == (bus,)


@pytest.mark.parametrize("rule", Unapproved)
async def test_a_draft_waits_until_its_deadline_and_then_follows_the_rule(
    desk: ReviewDesk, rule: Unapproved
) -> None:
    await desk.change_newsletter(unapproved=rule)
    draft = await desk.draft()

    async def due(now: Any) -> bool:
        async with desk.database.read() as session:
            return await has_due_drafts(session, now)

    assert not await due(at(1.9))
    assert await desk.do(close_due_drafts, at(1.9)) == []
    assert (await desk.edition(draft)).state is E.DRAFT
    assert await due(DUE)
    going = await desk.do(close_due_drafts, DUE)
    edition = await desk.edition(draft)
    assert not await due(DUE)
    assert await desk.do(close_due_drafts, DUE) == []
    if rule is Unapproved.SEND:
        assert (going, edition.state, edition.reason) == ([draft], E.COMPOSING, None)
        assert (await desk.curation(draft)).approved_at is None
        return
    assert (going, edition.state, edition.done_at) == ([], E.SKIPPED, DUE)
    assert edition.reason == "nobody approved it in time; its articles come with the next edition"
    assert [one.composed_at for one in await desk.waves(draft)] == [DUE]
    assert await desk.cursor("li.lei") == 1


async def test_an_approved_draft_is_not_decided_about_again(desk: ReviewDesk) -> None:
    await desk.change_newsletter(unapproved=Unapproved.SKIP)
    draft = await desk.draft()
    await desk.do(approve, draft, "operator", NOW)
    assert await desk.do(close_due_drafts, DUE) == []
    assert (await desk.edition(draft)).state is E.COMPOSING


async def test_what_an_operator_wrote_goes_by_their_word_alone(desk: ReviewDesk) -> None:
    letter = await desk.announce(due_at=NOW)
    async with desk.database.write() as session:
        session.add(Letter(edition_id=letter, subject="放假", body="十月七日**回来**"))
        await session.flush()
    held = await contents(desk, letter)
    assert (held.subject, held.readers, held.articles) == ("放假", 1, ())
    assert await desk.do(close_due_drafts, at(100)) == []
    with pytest.raises(EditionOver, match="is an announcement: it holds no articles"):
        await desk.do(refresh, letter)
    assert await desk.do(approve, letter, "operator", NOW)
    other = await desk.announce(period="other")
    assert await desk.do(skip_draft, other, NOW)
    assert (await desk.edition(other)).reason == "skipped by the operator"


async def test_a_draft_skipped_by_hand_leaves_its_articles_to_the_next_edition(
    desk: ReviewDesk,
) -> None:
    draft = await desk.draft()
    assert await desk.do(skip_draft, draft, NOW, "假期")
    assert not await desk.do(skip_draft, draft, NOW, "again")
    edition = await desk.edition(draft)
    assert (edition.state, edition.reason, edition.done_at) == (E.SKIPPED, "假期", NOW)
    assert await desk.cursor("li.lei") == 1
    async with desk.database.read() as session:
        assert await find_waves(session, draft, at(100)) == []
    later = await desk.draft(period="later")
    assert len(await titles(desk, later)) == 3


# States × actions

Action = Callable[[AsyncSession, int], Awaitable[object]]
ACTIONS: dict[str, Action] = {
    "approve": lambda session, draft: approve(session, draft, "operator", NOW),
    "drop": lambda session, draft: drop_article(session, draft, 2, "operator", NOW),
    "drop for good": lambda session, draft: drop_article(
        session, draft, 2, "operator", NOW, for_good=True
    ),
    "undrop": lambda session, draft: undrop_article(session, draft, 2),
    "reorder": lambda session, draft: reorder(session, draft, [2]),
    "intro": lambda session, draft: set_intro(session, draft, "大家好"),
    "refresh": lambda session, draft: refresh(session, draft),
    "skip": lambda session, draft: skip_draft(session, draft, NOW),
}


@pytest.mark.parametrize("state", [one for one in E if one is not E.DRAFT])
async def test_what_is_no_draft_any_more_is_not_changed(desk: ReviewDesk, state: E) -> None:
    draft = await desk.draft(state=state, reason="was so")
    for name, action in ACTIONS.items():
        if (name, state) == ("skip", E.SKIPPED):
            continue
        with pytest.raises(EditionOver, match=f"edition {draft} is {state}: it "):
            await desk.do(action, draft)
    edition = await desk.edition(draft)
    assert (edition.state, edition.reason, edition.curation) == (state, "was so", {})
    async with desk.database.read() as session:
        assert await session.get(DroppedArticle, (desk.newsletter_id, 2)) is None


@pytest.mark.parametrize("name", ACTIONS)
async def test_an_edition_that_does_not_exist_is_not_found(desk: ReviewDesk, name: str) -> None:
    with pytest.raises(NotFound, match="there is no edition 99"):
        await desk.do(ACTIONS[name], 99)


async def test_a_draft_is_neither_paused_nor_resumed(desk: ReviewDesk) -> None:
    draft = await desk.draft()
    with pytest.raises(EditionOver, match="is draft: feedsvc editions approve lets it go"):
        await desk.do(pause_edition, draft, "x", NOW)
    with pytest.raises(EditionOver, match="is draft: feedsvc editions approve lets it go"):
        await desk.do(resume_edition, draft)
    assert (await desk.edition(draft)).state is E.DRAFT


@pytest.mark.parametrize("has_waves", [True, False], ids=["waves", "no wave yet"])
async def test_a_draft_cancelled_with_its_articles_moves_its_readers_on(
    desk: ReviewDesk, has_waves: bool
) -> None:
    draft = await desk.draft()
    if not has_waves:
        async with desk.database.write() as session:
            for one in await desk.waves(draft):
                await session.delete(await session.get_one(Wave, one.id))
            await session.flush()
    await desk.do(cancel_edition, draft, drop=True)
    while await desk.do(finish_cancelled, 500, NOW):
        pass
    edition = await desk.edition(draft)
    assert (edition.state, edition.counters["dropped"]) == (E.CANCELLED, 1)
    assert await desk.cursor("li.lei") == 4


async def test_composing_sees_what_was_decided(desk: ReviewDesk) -> None:
    draft, market = await desk.draft(), desk.articles["夜市回来了"]
    await desk.do(drop_article, draft, market, "operator", NOW)
    await desk.do(reorder, draft, [desk.articles["Night buses"]])
    await desk.do(approve, draft, "operator", NOW)
    async with desk.database.read() as session:
        (wave,) = await find_waves(session, draft, DUE)
        composing = await load_composing(session, wave)
    assert composing is not None
    rules = composing.rules()
    assert rules.curation.dropped == (market,)
    assert rules.curation.order == (desk.articles["Night buses"],)
    assert composing.edition.kind is EditionKind.DIGEST
