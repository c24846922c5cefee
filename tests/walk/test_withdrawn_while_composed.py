"""An article is withdrawn between the writing of a mail and the moment its edition may go."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from letter_desk import add_readers, count_states, make_edition, open_walk, text_to
from newsroom_walk import Inbox, Walk
from sqlalchemy import update
from sqlmodel import col

from feedsvc.model.delivery import DeliveryState
from feedsvc.model.edition import Edition, EditionState, Wave

pytestmark = pytest.mark.anyio


@pytest.fixture
async def opened(empty_database_url: str, tmp_path: Path, inbox: Inbox) -> AsyncIterator[Walk]:
    start = datetime(2026, 11, 21, 12, tzinfo=UTC)
    mode = 'on_withdrawal = "without"'
    async with open_walk(tmp_path, empty_database_url, inbox, start, mode) as walk:
        yield walk


async def as_before_the_flip(walk: Walk, edition_id: int) -> None:
    """What a crash leaves when the mails are written, and the edition is not frozen."""
    async with walk.app.database.write() as session:
        await session.execute(
            update(Edition)
            .where(col(Edition.id) == edition_id)
            .values(state=EditionState.COMPOSING, frozen_at=None)
        )
        await session.execute(
            update(Wave).where(col(Wave.edition_id) == edition_id).values(composed_at=None)
        )


async def test_no_mail_that_was_written_before_holds_it(opened: Walk, inbox: Inbox) -> None:
    walk = opened
    await walk.ingest()
    (lilei,) = await add_readers(walk, ["lilei"])
    for title in ("夜市回来了", "图书馆重开"):
        walk.write(f"{title}.md", title)
    await walk.ingest()
    edition_id = await make_edition(walk)
    await as_before_the_flip(walk, edition_id)
    (hanmeimei,) = await add_readers(walk, ["hanmeimei"])
    (walk.articles / "夜市回来了.md").unlink()
    await walk.ingest()
    assert await walk.app.pipeline.compose(edition_id) is EditionState.FROZEN
    await walk.app.pipeline.deliver()
    assert await count_states(walk, edition_id) == {DeliveryState.SENT: 2}
    for one in (lilei, hanmeimei):
        (text,) = text_to(inbox, one)
        assert "图书馆重开" in text
        assert "夜市回来了" not in text
