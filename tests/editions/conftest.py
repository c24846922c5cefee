"""Fixtures of the editions tests."""

from collections.abc import Awaitable, Callable

import pytest
from edition_desk import Desk
from newsroom import Newsroom
from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.db.engine import Database


@pytest.fixture
def open_newsroom() -> Callable[[AsyncSession], Awaitable[Newsroom]]:
    """Make the newsletter's rows in a session."""

    async def _open(session: AsyncSession) -> Newsroom:
        newsroom = Newsroom(session)
        await newsroom.open()
        return newsroom

    return _open


@pytest.fixture
async def desk(database: Database) -> Desk:
    """Editions under way."""
    desk = Desk(database)
    await desk.open()
    return desk
