"""Dropping a digest's articles does not wait for letters that are on their way."""

import pytest
from edition_desk import NOW, Desk

from feedsvc.editions.control import cancel_edition, finish_cancelled
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.edition import EditionKind

pytestmark = pytest.mark.anyio


async def test_cursors_are_dropped_beside_a_letter_that_is_on_its_way(desk: Desk) -> None:
    digest = await desk.add_edition()
    await desk.add_mail(digest, "alice", S.PENDING)
    letter = await desk.add_edition(kind=EditionKind.ANNOUNCEMENT)
    on_its_way = await desk.add_mail(letter, "alice", S.CLAIMED, from_seq=None, cut_seq=None)
    async with desk.database.write() as session:
        assert await cancel_edition(session, digest, drop=True)
    for _ in range(3):
        async with desk.database.write() as session:
            await finish_cancelled(session, 100, NOW)
    assert await desk.cursor("alice") == 20
    assert (await desk.edition(digest)).done_at == NOW
    assert (await desk.mail(on_its_way)).state is S.CLAIMED
