"""Why mails were not sent, told in groups and without anybody's address."""

import pytest
from delivery_world import World

from feedsvc.deliveries.reasons import NotSent, Reason, Reasons, count_by_relay, load_reasons
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.relay import Meaning

pytestmark = pytest.mark.anyio


def refused(address: str, text: str = "5.1.1 <{}>: user unknown", code: int = 550) -> NotSent:
    reply = text.format(address)
    return NotSent(S.FAILED, f"refused: {code} {reply}", code, reply)


def group(*rows: NotSent) -> list[Reason]:
    reasons = Reasons()
    reasons.add(rows)
    return reasons.sorted()


def test_replies_that_mean_the_same_are_one_group_with_a_few_examples() -> None:
    rows = [refused(f"reader{number}@example.com") for number in range(5)]
    others = [refused("", f"5.1.1 no such user, says server {number}") for number in range(5)]
    (one,) = group(*rows, *others)
    assert (one.state, one.reason, one.count) == (S.FAILED, "refused", 10)
    assert one.meaning is Meaning.DEAD_ADDRESS
    assert one.examples == [
        "550 5.1.1 … user unknown",
        "550 5.1.1 no such user, says server 0",
        "550 5.1.1 no such user, says server 1",
    ]


def test_the_commonest_reason_comes_first() -> None:
    full = refused("李雷@例子.中国", "5.2.2 <{}> 收件人邮箱已满 mailbox full", 552)
    skipped = NotSent(S.SKIPPED, "unsubscribed before it was sent", None, None)
    found = group(full, skipped, skipped)
    assert [(one.reason, one.meaning, one.count) for one in found] == [
        ("unsubscribed before it was sent", None, 2),
        ("refused", Meaning.FULL, 1),
    ]
    assert "@" not in found[1].examples[0]
    assert "收件人邮箱已满" in found[1].examples[0]


def test_an_earlier_reply_is_not_taken_for_the_reason_of_what_came_later() -> None:
    late = NotSent(S.SUPERSEDED, "a later edition holds its articles", 451, "4.2.0 greylisted")
    (one,) = group(late)
    assert (one.meaning, one.examples) == (None, [])


def test_a_row_without_a_reason_is_told_too() -> None:
    (one,) = group(NotSent(S.EXPIRED, None, None, None))
    assert one.reason == "no reason"


async def test_the_reasons_and_relays_of_one_edition_are_read(world: World) -> None:
    other = await world.add_edition("2026-11-23T06:00Z")
    reply = {"reply_code": 550, "reply_text": "5.1.1 nobody", "reason": "refused: 550 nobody"}
    await world.add("a@example.com", "b@example.com", state=S.FAILED, relay="main", **reply)
    await world.add("c@example.com", state=S.SENT, relay="main", reply_code=250)
    await world.add("d@example.com", "e@example.com", state=S.SENT, relay="spare")
    await world.add("f@example.com", state=S.SENT)
    await world.add("g@example.com", state=S.FAILED, edition=other, **reply)
    await world.add("h@example.com")
    async with world.database.read() as session:
        (one,) = await load_reasons(session, world.edition_id)
        assert (one.state, one.reason, one.count) == (S.FAILED, "refused", 2)
        relays = await count_by_relay(session, world.edition_id)
    assert relays == {"spare": 2, "main": 1, "unknown": 1}
