"""An article is withdrawn while half of an edition's mails are out: counts by mode, to the mail."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from letter_desk import (
    LATER,
    add_readers,
    count_states,
    cursor_of,
    end_everything,
    letters_of,
    load_edition,
    make_edition,
    open_walk,
    put_off,
    text_to,
)
from newsroom_walk import Inbox, Walk

from feedsvc.articles.lookup import find_article
from feedsvc.deliveries.claim import claim_batch
from feedsvc.deliveries.outcomes import Policy
from feedsvc.deliveries.recover import recover_dead
from feedsvc.editions.had import count_had, load_had
from feedsvc.editions.withdrawals import Moved
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.edition import EditionState

pytestmark = pytest.mark.anyio
HALF = 12
FIRST = [f"first{number}" for number in range(HALF)]
SECOND = [f"second{number}" for number in range(HALF)]
#: Refused for now when it was tried: it had asked for its dot.
DEFERRED = "later@example.com"


@pytest.fixture
async def opened(
    empty_database_url: str, tmp_path: Path, inbox: Inbox, request: pytest.FixtureRequest
) -> AsyncIterator[Walk]:
    start = datetime(2026, 11, 21, 12, tzinfo=UTC)
    mode = f'on_withdrawal = "{request.param}"'
    async with open_walk(tmp_path, empty_database_url, inbox, start, mode) as walk:
        yield walk


def in_mode(mode: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("opened", [mode], indirect=True)


async def half_sent(walk: Walk, inbox: Inbox, *titles: str) -> tuple[int, list[str], list[str]]:
    """An edition of these articles, half of it sent, and one mail put off by its server."""
    await walk.ingest()
    first = await add_readers(walk, FIRST)
    second = [*await add_readers(walk, SECOND), *await add_readers(walk, ["later"])]
    for title in titles:
        walk.write(f"{title}.md", title)
    await walk.ingest()
    edition_id = await make_edition(walk)
    await put_off(walk, second[:-1])
    inbox.replies[DEFERRED] = ["451 4.7.1 later"]
    await walk.app.pipeline.deliver()
    assert await count_states(walk, edition_id) == {S.SENT: HALF, S.PENDING: HALF, S.DEFERRED: 1}
    return edition_id, first, second


async def withdraw(walk: Walk, title: str) -> Moved:
    (walk.articles / f"{title}.md").unlink()
    await walk.ingest()
    return await letters_of(walk).handle_withdrawals(at_once=True)


async def send_rest(walk: Walk) -> None:
    walk.now += LATER
    await walk.app.pipeline.deliver()
    await end_everything(walk)


@in_mode("without")
async def test_the_mails_not_sent_yet_go_without_it(opened: Walk, inbox: Inbox) -> None:
    walk = opened
    edition_id, first, second = await half_sent(walk, inbox, "夜市回来了", "图书馆重开")
    moved = await withdraw(walk, "夜市回来了")
    assert moved == Moved(without=HALF + 1)
    assert await letters_of(walk).handle_withdrawals(at_once=True) == Moved()
    await send_rest(walk)
    assert await count_states(walk, edition_id) == {S.SENT: 2 * HALF + 1}
    for one in first:
        (text,) = text_to(inbox, one)
        assert "夜市回来了" in text
    for one in second:
        (text,) = text_to(inbox, one)
        assert "夜市回来了" not in text
        assert "图书馆重开" in text
    assert {await cursor_of(walk, one) for one in (*first, *second)} == {2}
    assert (await load_edition(walk, edition_id)).state is EditionState.DONE


@in_mode("stop")
async def test_the_rest_of_the_edition_is_stopped_and_what_else_was_in_it_comes_next(
    opened: Walk, inbox: Inbox
) -> None:
    walk = opened
    edition_id, first, second = await half_sent(walk, inbox, "夜市回来了", "图书馆重开")
    assert await withdraw(walk, "夜市回来了") == Moved()
    await send_rest(walk)
    edition = await load_edition(walk, edition_id)
    assert edition.state is EditionState.CANCELLED
    assert edition.reason == (
        "stopped: “夜市回来了” was withdrawn; its other articles come with the next edition"
    )
    assert await count_states(walk, edition_id) == {S.SENT: HALF, S.SKIPPED: HALF + 1}
    walk.write("地铁.md", "地铁通车")
    await walk.ingest()
    following = await make_edition(walk)
    await send_rest(walk)
    assert await count_states(walk, following) == {S.SENT: 2 * HALF + 1}
    for one in first:
        _, text = text_to(inbox, one)
        assert "地铁通车" in text
        assert "图书馆重开" not in text
    for one in second:
        (text,) = text_to(inbox, one)
        assert "地铁通车" in text
        assert "图书馆重开" in text
        assert "夜市回来了" not in text


@in_mode("without")
async def test_a_mail_of_that_article_alone_does_not_go_and_is_settled(
    opened: Walk, inbox: Inbox
) -> None:
    walk = opened
    edition_id, first, second = await half_sent(walk, inbox, "夜市回来了")
    assert await withdraw(walk, "夜市回来了") == Moved(emptied=HALF + 1)
    await send_rest(walk)
    assert await count_states(walk, edition_id) == {S.SENT: HALF, S.SKIPPED: HALF + 1}
    assert [len(inbox.to(one)) for one in (*first, *second)] == [1] * HALF + [0] * (HALF + 1)
    assert {await cursor_of(walk, one) for one in second} == {1}


@in_mode("without")
async def test_who_already_had_it_is_listed(opened: Walk, inbox: Inbox) -> None:
    walk = opened
    edition_id, first, second = await half_sent(walk, inbox, "夜市回来了", "图书馆重开")
    async with walk.app.database.read() as session:
        article_id = (await find_article(session, "夜市回来了.md")).id or 0
        (before,) = await count_had(session, article_id)
        assert (before.sent, before.in_doubt, before.under_way) == (HALF, 0, HALF + 1)
    await withdraw(walk, "夜市回来了")
    await send_rest(walk)
    async with walk.app.database.read() as session:
        (after,) = await count_had(session, article_id, "daily")
        people = await load_had(session, article_id)
        other = (await find_article(session, "图书馆重开.md")).id or 0
        assert sum(one.sent for one in await count_had(session, other)) == 2 * HALF + 1
        assert await count_had(session, article_id, "another") == []
    assert (after.edition_id, after.sent, after.under_way) == (edition_id, HALF, 0)
    assert sorted(one.address for one in people) == sorted(first)
    assert DEFERRED in second


@in_mode("without")
async def test_a_mail_in_a_workers_hands_is_caught_when_it_is_given_back(
    opened: Walk, inbox: Inbox
) -> None:
    walk = opened
    _, _, second = await half_sent(walk, inbox, "夜市回来了", "图书馆重开")
    walk.now += LATER
    async with walk.app.database.write() as session:
        batch = await claim_batch(session, "another", walk.now, 5)
    letters = letters_of(walk)
    (walk.articles / "夜市回来了.md").unlink()
    await walk.ingest()
    assert (await letters.handle_withdrawals()).without == HALF + 1 - 5
    async with walk.app.database.write() as session:
        policy = Policy(timedelta(minutes=5), "carry", "resend")
        recovered = await recover_dead(session, "us", None, walk.now, policy)
    assert recovered.unsent == len(batch.claims) == 5
    assert (await letters.handle_withdrawals()).without == 0  # it is not looked so soon again
    walk.now += timedelta(seconds=11)
    assert (await letters.handle_withdrawals()).without == 5
    await send_rest(walk)
    assert not any("夜市回来了" in text for one in second for text in text_to(inbox, one))
