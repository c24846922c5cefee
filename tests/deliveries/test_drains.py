"""A drain brings everything that is due to an outcome, once, and leaves nothing in hand."""

from typing import Any

import pytest

from feedsvc.model.delivery import DeliveryState

pytestmark = pytest.mark.anyio

ALICE, CAROL, LILEI = "alice@example.com", "carol@example.com", "lilei@xn--fsqu00a.xn--4rr70v"


async def test_everyone_gets_their_mail_and_the_cursor_moves(world: Any, relay: Any) -> None:
    await world.add(ALICE, CAROL, LILEI)
    async with world.sender(relay) as sender:
        assert await sender.drain() == 3
    assert sorted(relay.recipients()) == [ALICE, CAROL, LILEI]
    assert await world.states() == {DeliveryState.SENT: 3}
    assert await world.cursor(LILEI) == 20
