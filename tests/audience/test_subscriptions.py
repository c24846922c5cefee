"""People come, confirm, leave and come back."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest
from publisher_house import NOW, House, to_the_second
from sqlalchemy import select
from sqlmodel import col

from feedsvc.audience.lookup import (
    count_by_state,
    find_confirmation,
    find_subscription,
    list_subscriptions,
)
from feedsvc.audience.notices import confirmation_numbers
from feedsvc.audience.subscriptions import add_confirmed, unsubscribe
from feedsvc.errors import InvalidToken, NotFound
from feedsvc.kit.addresses import parse_address
from feedsvc.model.delivery import PRIORITY_NOTICE, Delivery, DeliveryState
from feedsvc.model.edition import Cohort, Edition
from feedsvc.model.subscriber import (
    AddressState,
    Subscription,
    SubscriptionChange,
    SubscriptionState,
)

pytestmark = pytest.mark.anyio
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


async def subscribed(house: House, **asked: str) -> Subscription:
    """Somebody who asked and confirmed, an hour later."""
    await house.ask(**asked)
    subscription = await house.only()
    return await house.confirm(subscription.id or 0, NOW, NOW + HOUR)


async def leave(house: House) -> Subscription:
    subscription_id = (await house.only()).id or 0
    async with house.database.write() as session:
        left = await unsubscribe(session, subscription_id, NOW + 2 * HOUR, "subscriber")
        assert left is not None
        return left


async def test_a_request_is_pending_and_mails_one_confirmation(house: House) -> None:
    await house.ask("Bob@example.com", name="Bob", language="zh")
    subscription = await house.only()
    assert subscription.state is SubscriptionState.PENDING
    assert subscription.cursor is None
    (notice,) = await house.notices()
    epoch = int(NOW.timestamp())
    assert notice.subject == f"{subscription.id}:{epoch}"
    assert confirmation_numbers(notice) == (subscription.id, epoch)
    assert (notice.language, notice.payload["newsletter"]) == ("zh", "daily")
    async with house.database.read() as session:
        delivery = (await session.execute(select(Delivery))).scalar_one()
    assert (delivery.notice_id, delivery.subscription_id) == (notice.id, subscription.id)
    assert (delivery.state, delivery.priority) == (DeliveryState.PENDING, PRIORITY_NOTICE)
    assert (delivery.next_at, delivery.expires_at) == (NOW, NOW + 48 * HOUR)


async def test_a_name_typed_by_anybody_is_kept_out_of_the_row_until_it_is_confirmed(
    house: House,
) -> None:
    await house.ask(name="Buy now http://evil.example")
    (subscriber,) = await house.subscribers()
    assert subscriber.name == ""


async def test_confirming_makes_it_active_from_the_newest_article_on(house: House) -> None:
    await house.ask("lilei@example.com", name="李雷", language="zh", schedule="evening")
    await house.publish_up_to(12)
    subscription = await house.confirm((await house.only()).id or 0, NOW, NOW + HOUR)
    assert subscription.state is SubscriptionState.ACTIVE
    assert subscription.cursor == 12
    assert subscription.confirmed_at == NOW + HOUR
    assert subscription.schedule_id == house.schedules["daily", "evening"].id
    assert (subscription.consent_how, subscription.consent_text) == (
        "form",
        "I want the daily by e-mail.",
    )
    (subscriber,) = await house.subscribers()
    assert (subscriber.name, subscriber.language) == ("李雷", "zh")


async def test_confirming_again_moves_nothing(house: House) -> None:
    before = await subscribed(house)
    await house.publish_up_to(50)
    again = await house.confirm(before.id or 0, NOW, NOW + 3 * DAY)
    assert again.model_dump() == before.model_dump()


async def test_where_nothing_is_published_yet_the_cursor_is_zero(house: House) -> None:
    await house.publish_up_to(0)
    assert (await subscribed(house)).cursor == 0


async def test_a_stranger_cannot_touch_what_is_active(house: House) -> None:
    await subscribed(house, name="Alice")
    before = [row.model_dump() for row in (*await house.subscribers(), await house.only())]
    await house.ask(now=NOW + 9 * DAY, schedule="evening", name="Mallory", language="zh")
    after = [row.model_dump() for row in (*await house.subscribers(), await house.only())]
    assert after == before
    assert len(await house.notices()) == 1


async def test_who_left_stays_out_whoever_asks(house: House) -> None:
    await subscribed(house)
    await leave(house)
    before = [row.model_dump() for row in (*await house.subscribers(), await house.only())]
    await house.ask(now=NOW + 2 * DAY, schedule="evening", name="Mallory")
    after = [row.model_dump() for row in (*await house.subscribers(), await house.only())]
    assert after == before
    assert len(await house.notices()) == 2


async def test_who_left_comes_back_by_their_own_confirmation_from_now(house: House) -> None:
    await subscribed(house)
    await leave(house)
    await house.publish_up_to(99)
    asked = NOW + 2 * DAY
    await house.ask(now=asked, schedule="evening")
    back = await house.confirm((await house.only()).id or 0, asked, asked + HOUR)
    assert (back.state, back.cursor) == (SubscriptionState.ACTIVE, 99)
    assert back.schedule_id == house.schedules["daily", "evening"].id


async def test_a_link_of_before_the_goodbye_brings_nobody_back(house: House) -> None:
    await subscribed(house)
    await leave(house)
    with pytest.raises(InvalidToken):
        await house.confirm((await house.only()).id or 0, NOW, NOW + 3 * HOUR)
    assert (await house.only()).state is SubscriptionState.UNSUBSCRIBED


async def test_a_digest_left_over_from_before_is_not_sent_after_the_return(house: House) -> None:
    subscription = await subscribed(house)
    async with house.database.write() as session:
        edition = Edition(newsletter_id=subscription.newsletter_id, period="p", created_at=NOW)
        session.add(edition)
        await session.flush()
        cohort = Cohort(
            edition_id=edition.id or 0,
            content_key="c",
            language="en",
            theme="plain",
            subject="s",
            html="h",
            text="t",
            page="p",
        )
        session.add(cohort)
        await session.flush()
        session.add(
            Delivery(
                edition_id=edition.id,
                subscriber_id=subscription.subscriber_id,
                subscription_id=subscription.id,
                cohort_id=cohort.id,
                from_seq=7,
                cut_seq=9,
                state=DeliveryState.DEFERRED,
                next_at=NOW,
                expires_at=NOW + DAY,
                changed_at=NOW,
            )
        )
    await leave(house)
    await house.ask(now=NOW + 2 * DAY)
    await house.confirm(subscription.id or 0, NOW + 2 * DAY, NOW + 2 * DAY + HOUR)
    async with house.database.read() as session:
        query = select(Delivery).where(col(Delivery.edition_id).is_not(None))
        left_over = (await session.execute(query)).scalar_one()
    assert left_over.state is DeliveryState.SKIPPED


async def test_nothing_is_confirmed_after_two_days(house: House) -> None:
    await house.ask()
    with pytest.raises(InvalidToken):
        await house.confirm((await house.only()).id or 0, NOW, NOW + 48 * HOUR + HOUR)
    assert (await house.only()).state is SubscriptionState.PENDING


async def test_any_of_two_confirmations_is_good_while_it_is_fresh(house: House) -> None:
    await house.ask()
    await house.ask(now=NOW + DAY)
    first = await house.confirm((await house.only()).id or 0, NOW, NOW + DAY + HOUR)
    assert first.state is SubscriptionState.ACTIVE


@pytest.mark.parametrize(("subscription_id", "off"), [(1, HOUR), (99, 0 * HOUR)])
async def test_nobody_confirms_what_was_never_asked(
    house: House, subscription_id: int, off: timedelta
) -> None:
    await house.ask()
    with pytest.raises(NotFound):
        await house.confirm(subscription_id, NOW + off, NOW + 2 * HOUR)


async def test_an_address_gets_one_confirmation_a_day_whatever_is_asked_for(house: House) -> None:
    for newsletter in ("daily", "weekly", "daily"):
        await house.ask("ALICE@example.com", newsletter, now=NOW + HOUR)
        await house.ask("alice@EXAMPLE.com", newsletter, now=NOW + 2 * HOUR)
    assert len(await house.notices()) == 1
    assert len(await house.subscribers()) == 1


async def test_asking_again_the_next_day_replaces_a_confirmation_that_has_not_left(
    house: House,
) -> None:
    await house.ask()
    await house.ask(now=NOW + DAY)
    assert (await house.only()).requested_at == NOW + DAY
    async with house.database.read() as session:
        rows = await session.execute(select(Delivery.state).order_by(col(Delivery.id)))
        states = list(rows.scalars())
    assert states == [DeliveryState.SUPERSEDED, DeliveryState.PENDING]


async def test_a_dead_address_is_sent_nothing(house: House) -> None:
    await house.ask("carol@example.com")
    await house.mark_address("carol@example.com", AddressState.DEAD)
    await house.ask("carol@example.com", "weekly", now=NOW + 9 * DAY)
    assert len(await house.notices()) == 1


async def test_a_private_newsletter_cannot_be_joined_by_its_key(house: House) -> None:
    await house.ask(newsletter="board")
    assert await house.subscribers() == []
    assert await house.notices() == []


async def test_a_schedule_of_another_newsletter_is_no_way_in(house: House) -> None:
    house.schedules["daily", "morning"] = house.schedules["board", "morning"]
    await house.ask()
    assert await house.subscribers() == []


async def test_many_requests_at_once_are_one_person_and_one_mail(house: House) -> None:
    await asyncio.gather(*(house.ask() for _ in range(12)))
    assert len(await house.subscribers()) == 1
    assert len(await house.subscriptions()) == 1
    assert len(await house.notices()) == 1


async def test_two_newsletters_asked_at_once_are_still_one_mail(house: House) -> None:
    await asyncio.gather(*(house.ask(newsletter=key) for key in ("daily", "weekly") * 4))
    assert len(await house.subscribers()) == 1
    assert len(await house.notices()) == 1


async def test_requests_and_confirmations_at_once_do_not_lock_each_other_out(
    house: House,
) -> None:
    await house.ask()
    subscription_id = (await house.only()).id or 0
    await asyncio.gather(
        *(house.confirm(subscription_id, NOW, NOW + HOUR) for _ in range(6)),
        *(house.ask(now=NOW + 25 * HOUR) for _ in range(6)),
    )
    assert (await house.only()).state is SubscriptionState.ACTIVE


async def test_leaving_is_for_this_newsletter_only_and_may_be_said_twice(house: House) -> None:
    await house.ask(newsletter="weekly")
    await house.ask(newsletter="daily", now=NOW + DAY)
    weekly, daily = await house.subscriptions()
    for now in (NOW + DAY, NOW + 2 * DAY):
        async with house.database.write() as session:
            left = await unsubscribe(session, daily.id or 0, now, "one-click")
        assert left is not None
        assert left.state is SubscriptionState.UNSUBSCRIBED
    assert [one.state for one in await house.subscriptions()] == [
        SubscriptionState.PENDING,
        SubscriptionState.UNSUBSCRIBED,
    ]
    async with house.database.read() as session:
        query = select(SubscriptionChange).where(col(SubscriptionChange.what) == "unsubscribed")
        (change,) = (await session.execute(query)).scalars().all()
    assert (change.by, change.at, change.detail) == ("one-click", NOW + DAY, {"was": "pending"})
    assert weekly.id != daily.id


async def test_leaving_what_is_gone_is_nothing(house: House) -> None:
    async with house.database.write() as session:
        assert await unsubscribe(session, 99, NOW, "one-click") is None


async def test_every_change_is_in_the_log_with_its_evidence(house: House) -> None:
    await subscribed(house)
    await leave(house)
    async with house.database.read() as session:
        rows = await session.execute(
            select(SubscriptionChange).order_by(col(SubscriptionChange.id))
        )
        changes = rows.scalars().all()
    assert [(change.what, change.by) for change in changes] == [
        ("requested", "form"),
        ("confirmed", "subscriber"),
        ("unsubscribed", "subscriber"),
    ]
    assert changes[1].detail["consent_text"] == "I want the daily by e-mail."
    assert all(before.at <= after.at for before, after in pairwise(changes))


async def add(house: House) -> Subscription:
    async with house.database.write() as session:
        return await add_confirmed(
            session,
            newsletter=house.newsletters["board"],
            schedule=house.schedules["board", "morning"],
            address=parse_address("lilei@example.com"),
            name="李雷",
            language="zh",
            zone="Asia/Shanghai",
            topics=["b", "a"],
            now=NOW,
            consent_text="Signed the paper form.",
        )


async def test_an_operator_adds_somebody_even_to_a_private_newsletter(house: House) -> None:
    added = await add(house)
    assert (added.state, added.cursor, added.topics) == (SubscriptionState.ACTIVE, 7, ["a", "b"])
    assert added.consent_text == "Signed the paper form."
    (subscriber,) = await house.subscribers()
    assert (subscriber.name, subscriber.zone) == ("李雷", "Asia/Shanghai")
    assert await house.notices() == []


async def test_adding_twice_changes_nothing(house: House) -> None:
    first = await add(house)
    await house.publish_up_to(70)
    assert (await add(house)).model_dump() == first.model_dump()


async def test_not_even_an_operator_brings_back_who_left(house: House) -> None:
    await add(house)
    await leave(house)
    assert (await add(house)).state is SubscriptionState.UNSUBSCRIBED


async def test_lists_filter_and_page(house: House) -> None:
    await house.ask("alice@example.com")
    await house.ask("bob@example.com")
    await house.ask("lilei@example.com", "weekly", "evening")
    first = (await house.subscriptions())[0]
    await house.confirm(first.id or 0, NOW, NOW + HOUR)
    async with house.database.read() as session:
        pages = [
            [one.address for one in await list_subscriptions(session, limit=2)],
            [
                one.address
                for one in await list_subscriptions(session, limit=2, after_id=(first.id or 0) + 1)
            ],
        ]
        active = await list_subscriptions(session, "daily", SubscriptionState.ACTIVE)
        counts = await count_by_state(session, "daily")
        weekly = await list_subscriptions(session, "weekly")
    assert pages == [["alice@example.com", "bob@example.com"], ["lilei@example.com"]]
    assert [one.address for one in active] == ["alice@example.com"]
    assert (weekly[0].newsletter, weekly[0].schedule) == ("weekly", "evening")
    assert counts == {
        SubscriptionState.PENDING: 1,
        SubscriptionState.ACTIVE: 1,
        SubscriptionState.PAUSED: 0,
        SubscriptionState.UNSUBSCRIBED: 0,
    }


async def test_a_page_sees_what_a_confirmation_would_do_without_doing_it(house: House) -> None:
    await house.ask(schedule="evening")
    subscription_id = (await house.only()).id or 0
    async with house.database.read() as session:
        view = await find_confirmation(session, subscription_id, to_the_second(NOW), NOW + HOUR)
        assert (view.newsletter_key, view.schedule_key) == ("daily", "evening")
        assert view.state is SubscriptionState.PENDING
        with pytest.raises(InvalidToken):
            await find_confirmation(session, subscription_id, to_the_second(NOW), NOW + 3 * DAY)
        with pytest.raises(NotFound):
            await find_confirmation(session, 99, to_the_second(NOW), NOW)
        assert await find_subscription(session, 99) is None
    assert (await house.only()).state is SubscriptionState.PENDING
