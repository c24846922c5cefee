"""Subscribers change schedule, topics, language and zone, pause and go on; the cursor holds."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from choosers import DAY, HOUR, Reader, publish_about, subscribe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from publisher_house import NOW, House
from sqlalchemy import delete, select, update
from sqlmodel import col

from feedsvc.audience.choices import Choices, change_choices, has_due, pause, resume, resume_due
from feedsvc.audience.offers import load_topics
from feedsvc.audience.subscriptions import unsubscribe
from feedsvc.deliveries.statements import cursor_statement
from feedsvc.errors import ChoiceInvalid, NotFound, NotSubscribed
from feedsvc.model.article import ArticleState
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import (
    Resume,
    Subscription,
    SubscriptionChange,
    SubscriptionState,
)

pytestmark = pytest.mark.anyio

OPEN = [
    DeliveryState.PENDING,
    DeliveryState.DEFERRED,
    DeliveryState.CLAIMED,
    DeliveryState.DOT,
]
IN_HAND = (DeliveryState.CLAIMED, DeliveryState.DOT)


async def test_all_is_changed_at_once_and_logged_with_before_and_after(house: House) -> None:
    reader = await subscribe(house)
    await publish_about(house, 3, "科技", "文化")
    await house.publish_up_to(12)
    changed = await reader.change(
        schedule="evening", topics=["科技", "文化"], language="en", zone="Asia/Shanghai"
    )
    assert changed.schedule_id == house.schedules["daily", "evening"].id
    assert (await reader.row()).model_dump() == changed.model_dump()
    assert (changed.topics, changed.language, changed.zone) == (
        ["文化", "科技"],
        "en",
        "Asia/Shanghai",
    )
    assert changed.cursor == 7
    (entry,) = await reader.log()
    assert (entry.what, entry.by, entry.at) == ("changed", "subscriber", NOW)
    assert entry.detail == {
        "before": {"schedule": "morning", "topics": [], "language": "zh", "zone": ""},
        "after": {
            "schedule": "evening",
            "topics": ["文化", "科技"],
            "language": "en",
            "zone": "Asia/Shanghai",
        },
    }


async def test_what_is_chosen_already_is_not_logged(house: House) -> None:
    reader = await subscribe(house)
    await reader.change(schedule="morning", topics=[], language="zh", zone="")
    assert await reader.log() == []


async def test_one_wrong_choice_changes_nothing(house: House) -> None:
    reader = await subscribe(house)
    before = await reader.row()
    for wrong in (
        {"schedule": "hourly"},
        {"topics": ["of no article"]},
        {"language": "tlh"},
        {"zone": "Nowhere"},
    ):
        with pytest.raises(ChoiceInvalid):
            await reader.change(**{"language": "en", "schedule": "evening", **wrong})
    assert (await reader.row()).model_dump() == before.model_dump()
    assert await reader.log() == []


async def test_the_schedule_of_another_newsletter_or_a_retired_one_cannot_be_chosen(
    house: House,
) -> None:
    reader = await subscribe(house)
    async with house.database.write() as session:
        await session.execute(
            update(Schedule)
            .where(col(Schedule.id) == house.schedules["daily", "evening"].id)
            .values(retired=True)
        )
    with pytest.raises(ChoiceInvalid, match="there are: morning"):
        await reader.change(schedule="evening")


async def test_choices_are_those_of_one_newsletter(house: House) -> None:
    daily = await subscribe(house)
    weekly = await subscribe(house, newsletter="weekly")
    await daily.change(language="en", zone="Europe/Madrid", schedule="evening")
    row = await weekly.row()
    assert (row.language, row.zone) == ("zh", "")
    assert row.schedule_id == house.schedules["weekly", "morning"].id


async def test_a_topic_that_no_article_has_any_more_may_be_kept(house: House) -> None:
    reader = await subscribe(house, topics=["gone", "科技"])
    await publish_about(house, 3, "文化")
    assert (await reader.change(topics=["gone", "文化"])).topics == ["gone", "文化"]
    with pytest.raises(ChoiceInvalid, match="'科技'"):
        await reader.change(topics=["科技"])


async def test_topics_of_a_newsletter_that_names_some_are_those(house: House) -> None:
    reader = await subscribe(house)
    await publish_about(house, 3, "文化")
    async with house.database.write() as session:
        newsletter = await session.get_one(Newsletter, house.newsletters["daily"].id)
        newsletter.selection = {"topics": ["科技", "sport"]}
    async with house.database.read() as session:
        assert await load_topics(session, newsletter, NOW) == ["sport", "科技"]
    await reader.change(topics=["科技"])
    with pytest.raises(ChoiceInvalid, match="'文化'"):
        await reader.change(topics=["文化"])


async def test_else_the_topics_of_its_articles_of_three_months_are_offered_most_used_first(
    house: House,
) -> None:
    await publish_about(house, 1, "old", published_at=NOW - 91 * DAY)
    await publish_about(house, 2, "文化", "科技", section="news")
    await publish_about(house, 3, "科技", section="news")
    await publish_about(house, 4, "sport", section="elsewhere")
    await publish_about(house, 5, "taken back", section="news", state=ArticleState.WITHDRAWN)
    await publish_about(house, 6, "dull", "boring", section="news")
    newsletter = house.newsletters["daily"]
    newsletter.selection = {"sections": ["news"]}
    newsletter.filter = 'not topic = "boring"'
    async with house.database.read() as session:
        assert await load_topics(session, newsletter, NOW) == ["科技", "文化"]


async def test_at_most_forty_topics_are_offered(house: House) -> None:
    await publish_about(house, 1, *(f"topic {n:02}" for n in range(60)))
    async with house.database.read() as session:
        assert len(await load_topics(session, house.newsletters["daily"], NOW)) == 40


@pytest.mark.parametrize("state", [SubscriptionState.PENDING, SubscriptionState.UNSUBSCRIBED])
async def test_who_is_not_subscribed_has_nothing_to_choose(
    house: House, state: SubscriptionState
) -> None:
    if state is SubscriptionState.PENDING:
        await house.ask("lilei@example.com")
        reader = Reader(house, (await house.only()).id or 0)
    else:
        reader = await subscribe(house)
        async with house.database.write() as session:
            await unsubscribe(session, reader.id, NOW, "subscriber")
    before = (await reader.row()).model_dump()
    for attempt in (reader.change(language="en"), reader.pause(), reader.resume()):
        with pytest.raises(NotSubscribed):
            await attempt
    assert (await reader.row()).model_dump() == before


async def test_a_subscription_that_is_gone_is_said_to_be(house: House) -> None:
    nobody = Reader(house, 99)
    for attempt in (nobody.change(language="en"), nobody.pause(), nobody.resume()):
        with pytest.raises(NotFound):
            await attempt


async def test_a_pause_is_logged_and_can_be_changed(house: House) -> None:
    reader = await subscribe(house)
    await reader.pause(NOW + DAY)
    await reader.pause(NOW + DAY)
    paused = await reader.pause(None, Resume.NOW)
    assert (paused.state, paused.paused_until) == (SubscriptionState.PAUSED, None)
    assert paused.cursor == 7
    first, second = await reader.log()
    assert (first.what, second.what) == ("paused", "paused")
    assert first.detail["before"] == {"state": "active", "until": None}
    assert second.detail["after"] == {"until": None, "resume": "now"}


async def test_going_on_catches_up_or_begins_now(house: House) -> None:
    patient = await subscribe(house)
    hurried = await subscribe(house, "bob@example.com")
    await patient.pause()
    await hurried.pause(how=Resume.NOW)
    await house.publish_up_to(12)
    assert (await patient.resume()).cursor == 7
    assert (await hurried.resume()).cursor == 12
    assert (await patient.row()).state is SubscriptionState.ACTIVE
    assert (await patient.log())[-1].detail == {
        "before": {"state": "paused"},
        "after": {"state": "active"},
        "how": "catch_up",
    }
    assert (await hurried.log())[-1].detail == {
        "before": {"state": "paused"},
        "after": {"state": "active"},
        "how": "now",
        "from": 7,
        "to": 12,
    }


async def test_one_may_think_better_of_it_when_going_on(house: House) -> None:
    reader = await subscribe(house)
    await reader.pause()
    await house.publish_up_to(12)
    assert (await reader.resume(how=Resume.NOW)).cursor == 12


async def test_who_has_not_paused_goes_on_as_before(house: House) -> None:
    reader = await subscribe(house)
    await house.publish_up_to(12)
    assert (await reader.resume(how=Resume.NOW)).cursor == 7
    assert await reader.log() == []


@pytest.mark.parametrize("state", OPEN)
async def test_what_is_still_to_be_sent_is_skipped_from_now_and_what_is_in_hand_is_left(
    house: House, state: DeliveryState
) -> None:
    reader = await subscribe(house)
    mail_id = await reader.add_mail(state)
    await house.publish_up_to(12)
    await reader.pause(how=Resume.NOW)
    assert (await reader.mail(mail_id)).state is state
    await reader.resume()
    mail = await reader.mail(mail_id)
    if state in IN_HAND:
        assert (mail.state, mail.reason) == (state, None)
        async with house.database.write() as session:
            connection = await session.connection()
            kind = house.database.kind
            await connection.execute(cursor_statement(kind), {"ids": f"[{mail_id}]"})
    else:
        assert mail.state is DeliveryState.SKIPPED
        assert mail.reason == "went on after a pause, from now"
        assert mail.changed_at == NOW + HOUR
    assert (await reader.row()).cursor == 12


async def test_one_in_doubt_that_is_skipped_says_so(house: House) -> None:
    reader = await subscribe(house)
    mail_id = await reader.add_mail(DeliveryState.PENDING, doubts=1)
    await reader.pause(how=Resume.NOW)
    await reader.resume()
    assert "may have arrived" in ((await reader.mail(mail_id)).reason or "")


async def test_a_letter_goes_all_the_same(house: House) -> None:
    reader = await subscribe(house)
    mail_id = await reader.add_mail(DeliveryState.PENDING, window=None)
    await reader.pause(how=Resume.NOW)
    await reader.resume()
    assert (await reader.mail(mail_id)).state is DeliveryState.PENDING


@pytest.mark.parametrize("state", [*OPEN, DeliveryState.SENT, DeliveryState.HELD])
@pytest.mark.parametrize("what", ["change", "pause", "catch up"])
async def test_nothing_else_touches_a_mail_or_the_cursor(
    house: House, state: DeliveryState, what: str
) -> None:
    reader = await subscribe(house)
    mail_id = await reader.add_mail(state)
    before = (await reader.mail(mail_id)).model_dump()
    await house.publish_up_to(12)
    match what:
        case "change":
            await reader.change(schedule="evening", language="en", zone="UTC")
        case "pause":
            await reader.pause(how=Resume.NOW)
        case _:
            await reader.pause()
            await reader.resume()
    assert (await reader.mail(mail_id)).model_dump() == before
    assert (await reader.row()).cursor == 7


async def test_those_whose_pause_is_over_go_on_piece_by_piece(house: House) -> None:
    readers = [await subscribe(house, f"reader{n}@example.com") for n in range(6)]
    for n, reader in enumerate(readers[:4]):
        await reader.pause(NOW + DAY, Resume.NOW if n % 2 else Resume.CATCH_UP)
    await readers[4].pause(NOW + 2 * DAY)
    await readers[5].pause(None)
    mail_id = await readers[1].add_mail(DeliveryState.DEFERRED)
    await house.publish_up_to(12)
    gone_on = []
    for at in (NOW + DAY - timedelta(seconds=1), *[NOW + DAY] * 3):
        async with house.database.write() as session:
            is_due = await has_due(session, at)
            gone_on.append((is_due, await resume_due(session, at, 3)))
    assert gone_on == [(False, 0), (True, 3), (True, 1), (False, 0)]
    rows = [await reader.row() for reader in readers]
    assert [one.state is SubscriptionState.ACTIVE for one in rows] == [*[True] * 4, False, False]
    assert [one.cursor for one in rows] == [7, 12, 7, 12, 7, 7]
    assert (await readers[1].mail(mail_id)).state is DeliveryState.SKIPPED
    entry = (await readers[1].log())[-1]
    assert (entry.what, entry.by) == ("resumed", "date")
    assert (entry.detail["from"], entry.detail["to"]) == (7, 12)


async def test_a_button_and_the_date_at_once_let_somebody_go_on_once(house: House) -> None:
    reader = await subscribe(house)
    await reader.pause(NOW + DAY, Resume.NOW)

    async def by_date() -> None:
        async with house.database.write() as session:
            await resume_due(session, NOW + DAY, 10)

    await asyncio.gather(by_date(), reader.resume(NOW + DAY), by_date(), reader.resume(NOW + DAY))
    assert [one.what for one in await reader.log()] == ["paused", "resumed"]


async def test_leaving_while_paused_and_coming_back_begins_from_now(house: House) -> None:
    reader = await subscribe(house)
    await reader.pause(NOW + 9 * DAY, Resume.NOW)
    async with house.database.write() as session:
        await unsubscribe(session, reader.id, NOW, "subscriber")
        assert await resume_due(session, NOW + 9 * DAY, 10) == 0
    await house.publish_up_to(12)
    await house.ask("lilei@example.com", now=NOW + DAY)
    back = await house.confirm(reader.id, NOW + DAY, NOW + DAY + HOUR)
    assert (back.state, back.cursor) == (SubscriptionState.ACTIVE, 12)
    assert (back.paused_until, back.resume) == (None, Resume.CATCH_UP)


async def test_what_was_asked_for_becomes_the_choices_of_the_subscription(house: House) -> None:
    await house.ask(language="zh")
    row = await house.only()
    assert (row.language, row.zone) == ("zh", "")
    back = await house.confirm(row.id or 0, NOW, NOW + HOUR)
    assert back.language == "zh"
    added = await subscribe(
        house, "bob@example.com", language="en", zone="asia/shanghai", topics=["b", "a", "a"]
    )
    row = await added.row()
    assert (row.language, row.zone, row.topics) == ("en", "Asia/Shanghai", ["a", "b"])


STEPS = st.one_of(
    st.tuples(st.just("publish"), st.integers(1, 3)),
    st.tuples(st.just("change"), st.sampled_from(["morning", "evening", "hourly"])),
    st.tuples(st.just("pause"), st.sampled_from([*Resume])),
    st.tuples(st.just("resume"), st.sampled_from([None, *Resume])),
    st.tuples(st.just("due"), st.just(None)),
    st.tuples(st.just("mail"), st.sampled_from(OPEN)),
    st.tuples(st.just("leave"), st.just(None)),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEPS, max_size=12))
async def test_no_change_moves_a_cursor_but_from_now_forward(
    house: House, steps: list[tuple[str, Any]]
) -> None:
    newest, now = 7, NOW
    async with house.database.write() as session:
        await _begin_anew(session)
    await house.publish_up_to(newest)
    reader = await subscribe(house)
    for step, value in steps:
        now += DAY
        before = await reader.row()
        logged = len(await reader.log())
        if step == "publish":
            newest += value
            await house.publish_up_to(newest)
            continue
        if step == "mail" and not await _has_open(house):
            if newest > (before.cursor or 0):
                await reader.add_mail(value, window=(before.cursor or 0, newest))
            continue
        await _take(reader, step, value, now)
        after = await reader.row()
        if after.cursor == before.cursor:
            continue
        entry = (await reader.log())[logged]
        assert (entry.what, entry.detail["how"]) == ("resumed", "now")
        assert (entry.detail["from"], entry.detail["to"]) == (before.cursor, after.cursor)
        assert after.cursor == newest
        assert (after.cursor or 0) > (before.cursor or 0)


async def _take(reader: Reader, step: str, value: Any, now: Any) -> None:
    async with reader.house.database.write() as session:
        try:
            match step:
                case "change":
                    await change_choices(session, reader.id, Choices(value), now, "subscriber")
                case "pause":
                    await pause(session, reader.id, now + DAY, value, now, "subscriber")
                case "resume":
                    await resume(session, reader.id, now, "subscriber", value)
                case "due":
                    await resume_due(session, now, 5)
                case "leave":
                    await unsubscribe(session, reader.id, now, "subscriber")
        except (ChoiceInvalid, NotSubscribed):
            pass


async def _has_open(house: House) -> bool:
    async with house.database.read() as session:
        found = await session.execute(
            select(col(Delivery.id)).where(col(Delivery.state).in_(OPEN)).limit(1)
        )
        return found.first() is not None


async def _begin_anew(session: Any) -> None:
    for table in (Delivery, SubscriptionChange, Subscription):
        await session.execute(delete(table))
