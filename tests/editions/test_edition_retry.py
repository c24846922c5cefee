"""Only the failed are tried again, and nobody gets an article twice by it."""

from datetime import timedelta

import pytest
from edition_desk import DAY, NOW, Desk
from sqlalchemy import select
from sqlmodel import col

from feedsvc.editions.retry import Retried, find_failed, retry_failed
from feedsvc.errors import EditionOver, NotFound
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.edition import EditionKind
from feedsvc.model.edition import EditionState as E
from feedsvc.model.subscriber import AddressState, Subscriber, Subscription, SubscriptionState

pytestmark = pytest.mark.anyio
LATER = NOW + timedelta(hours=30)


async def retry(desk: Desk, edition_id: int, *, uncertain: bool = False) -> Retried:
    async with desk.database.write() as session:
        return await retry_failed(session, edition_id, LATER, DAY, uncertain=uncertain)


async def test_refused_and_expired_mails_go_again_and_no_other(desk: Desk) -> None:
    edition_id = await desk.add_edition(E.DONE, done_at=NOW)
    untouched = (S.SENT, S.SKIPPED, S.UNCERTAIN, S.HELD, S.SUPERSEDED)
    for state in untouched:
        await desk.add_mail(edition_id, state, state)
    refused = await desk.add_mail(edition_id, "refused", S.FAILED, reason="refused: 550 full")
    await desk.add_mail(edition_id, "expired", S.EXPIRED)
    assert await retry(desk, edition_id) == Retried(2)
    assert await desk.states(edition_id) == [*untouched, S.PENDING, S.PENDING]
    row = await desk.mail(refused)
    assert (row.next_at, row.expires_at, row.worker) == (LATER, LATER + DAY, None)
    assert row.reason == "tried again, as the operator says; before: refused: 550 full"
    edition = await desk.edition(edition_id)
    assert (edition.state, edition.done_at) == (E.SENDING, None)
    assert await retry(desk, edition_id) == Retried(0)


async def test_mail_in_doubt_goes_again_only_when_asked_for(desk: Desk) -> None:
    edition_id = await desk.add_edition(E.DONE)
    await desk.add_mail(edition_id, "alice", S.UNCERTAIN, doubts=1)
    await desk.add_mail(edition_id, "held", S.HELD, doubts=1)
    await desk.add_mail(edition_id, "bob", S.FAILED, doubts=1)
    await desk.add_mail(edition_id, "twice", S.UNCERTAIN, doubts=2)
    retried = await retry(desk, edition_id)
    assert (retried.again, retried.left_out) == (0, {"an earlier try may have arrived": 1})
    assert (await desk.edition(edition_id)).state is E.DONE
    retried = await retry(desk, edition_id, uncertain=True)
    assert (retried.again, retried.left_out) == (2, {"in doubt twice, which is final": 1})
    assert await desk.states(edition_id) == [S.PENDING, S.HELD, S.PENDING, S.UNCERTAIN]


async def test_what_was_refused_is_made_anew_and_what_is_in_doubt_stays_byte_for_byte(
    desk: Desk,
) -> None:
    edition_id = await desk.add_edition(E.DONE)
    fixed = {"date_at": NOW, "address": "old@example.com", "renderer": "1", "signed_with": "s1"}
    refused = await desk.add_mail(edition_id, "alice", S.FAILED, **fixed)
    doubted = await desk.add_mail(edition_id, "bob", S.UNCERTAIN, doubts=1, **fixed)
    await retry(desk, edition_id, uncertain=True)
    for mail, kept in ((refused, dict.fromkeys(fixed)), (doubted, fixed)):
        row = await desk.mail(mail)
        assert {name: getattr(row, name) for name in fixed} == kept


@pytest.mark.parametrize("state", [E.SENDING, E.PAUSED])
async def test_an_edition_that_is_open_stays_as_it_is(desk: Desk, state: E) -> None:
    edition_id = await desk.add_edition(state, reason="why")
    await desk.add_mail(edition_id, "alice", S.FAILED)
    assert await retry(desk, edition_id) == Retried(1)
    edition = await desk.edition(edition_id)
    assert (edition.state, edition.reason) == (state, "why")


async def test_who_cannot_be_mailed_without_repeating_is_left_out_with_a_reason(
    desk: Desk,
) -> None:
    edition_id = await desk.add_edition(E.DONE)
    next_one = await desk.add_edition(E.SENDING, cut_seq=30)
    for name in ("ahead", "under.way", "unsubscribed", "paused", "dead", "complained", "reset"):
        await desk.add_mail(edition_id, name, S.FAILED)
    person = {"dead": AddressState.DEAD, "complained": AddressState.COMPLAINED}
    for name, subscription_id in desk.readers.items():
        async with desk.database.write() as session:
            subscription = await session.get_one(Subscription, subscription_id)
            if name in person:
                owner = await session.get_one(Subscriber, subscription.subscriber_id)
                owner.state = person[name]
            elif name in ("unsubscribed", "paused"):
                subscription.state = SubscriptionState(name)
            elif name in ("ahead", "reset"):
                subscription.cursor = 30 if name == "ahead" else 4
            await session.flush()
    await desk.add_mail(next_one, "under.way", cut_seq=30)
    retried = await retry(desk, edition_id)
    assert (retried.again, dict(retried.left_out)) == (
        0,
        {
            "a later edition has covered its articles": 2,
            "another mail to the same person is under way": 1,
            "unsubscribed": 1,
            "paused": 1,
            "address dead": 1,
            "complained": 1,
        },
    )
    assert (await desk.edition(edition_id)).state is E.DONE
    assert set(await desk.states(edition_id)) == {S.FAILED}


@pytest.mark.parametrize("state", [E.COMPOSING, E.CANCELLED, E.SKIPPED])
async def test_an_edition_that_cannot_send_is_not_tried_again(desk: Desk, state: E) -> None:
    edition_id = await desk.add_edition(state)
    await desk.add_mail(edition_id, "alice", S.FAILED)
    with pytest.raises(EditionOver, match=f"edition {edition_id} is {state}"):
        await retry(desk, edition_id)
    with pytest.raises(NotFound):
        await retry(desk, 999)


async def test_many_are_tried_again_in_pieces(desk: Desk) -> None:
    edition_id = await desk.add_edition(E.DONE)
    other = await desk.add_edition(E.DONE)
    for number in range(3):
        await desk.add_mail(edition_id, f"reader{number}", S.FAILED)
    strange = await desk.add_mail(other, "stranger", S.FAILED)
    async with desk.database.read() as session:
        first, *rest = await find_failed(session, edition_id)
    async with desk.database.write() as session:
        piece = await retry_failed(session, edition_id, LATER, DAY, among=[first, strange])
    assert piece == Retried(1)
    assert await desk.states(edition_id) == [S.PENDING, S.FAILED, S.FAILED]
    assert await desk.states(other) == [S.FAILED]
    async with desk.database.write() as session:
        assert await retry_failed(session, edition_id, LATER, DAY, among=rest) == Retried(2)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_who_is_being_composed_for_is_not_mailed_from_two_sides(desk: Desk) -> None:
    edition_id = await desk.add_edition(E.DONE)
    await desk.add_mail(edition_id, "alice", S.FAILED)
    async with desk.database.write() as composer:
        held = select(col(Subscription.id)).with_for_update()
        assert (await composer.execute(held)).all()
        retried = await retry(desk, edition_id)
    assert dict(retried.left_out) == {"being changed at this moment; say it again": 1}
    assert await retry(desk, edition_id) == Retried(1)


async def test_a_letter_goes_again_whatever_digests_have_come_since(desk: Desk) -> None:
    letter = await desk.add_edition(E.DONE, kind=EditionKind.ANNOUNCEMENT)
    no_window = {"from_seq": None, "cut_seq": None}
    mail = await desk.add_mail(letter, "alice", S.FAILED, **no_window)
    digest = await desk.add_edition()
    await desk.add_mail(digest, "alice", S.PENDING)
    await desk.change(Subscription, desk.readers["alice"], cursor=30)
    assert await retry(desk, letter) == Retried(1)
    assert (await desk.mail(mail)).state is S.PENDING


async def test_an_open_letter_is_in_no_digests_way(desk: Desk) -> None:
    digest = await desk.add_edition(E.DONE)
    await desk.add_mail(digest, "alice", S.FAILED)
    letter = await desk.add_edition(kind=EditionKind.ANNOUNCEMENT)
    await desk.add_mail(letter, "alice", S.PENDING, from_seq=None, cut_seq=None)
    assert await retry(desk, digest) == Retried(1)
