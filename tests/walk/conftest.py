"""A whole feedsvc on a real database, with a real SMTP server to send to and a clock to turn."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from newsroom_walk import Inbox, Walk


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    """A real SMTP server on loopback that keeps what it accepts."""
    inbox = Inbox()
    await inbox.start()
    yield inbox
    await inbox.stop()


@pytest.fixture
async def walk(empty_database_url: str, tmp_path: Path, inbox: Inbox) -> AsyncIterator[Walk]:
    """feedsvc with a folder source, a feed, a newsletter at 08:00 in Shanghai, and the inbox."""
    start = datetime(2026, 11, 21, 12, tzinfo=UTC)
    walk = Walk(tmp_path, empty_database_url, inbox.port, start)
    async with walk.open():
        yield walk
