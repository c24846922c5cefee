"""Who sends, where several processes would: one at a time, and the next as soon as it may."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from newsroom_walk import Inbox, Walk
from sqlalchemy import func, select, text
from structlog.testing import capture_logs

from feedsvc import app as app_module
from feedsvc.app import App
from feedsvc.config_file import load_settings
from feedsvc.errors import SenderBusy
from feedsvc.model.delivery import Worker

pytestmark = pytest.mark.anyio
START = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def empty_database_url(tmp_path: Path) -> str:
    """On PostgreSQL there is no such right: everybody sends, told apart by heartbeats."""
    return f"sqlite:///{tmp_path / 'feedsvc.db'}"


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    inbox = Inbox()
    await inbox.start()
    yield inbox
    await inbox.stop()


@pytest.fixture
def opened(
    tmp_path: Path, empty_database_url: str, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Any]:
    """Opens feedsvc once more on the same database, as another process would."""
    monkeypatch.setattr(app_module, "_LOCK_SECONDS", 0.01)
    Walk(tmp_path, empty_database_url, inbox.port, START)
    loaded = load_settings(tmp_path / "config.toml", {}, tmp_path)
    return lambda: App.open(loaded, clock=lambda: START, check_templates=False)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - it is another process's, as it were
            await asyncio.sleep(0.01)


async def workers(app: App) -> int:
    async with app.database.read() as session:
        return (await session.execute(select(func.count()).select_from(Worker))).scalar_one()


@asynccontextmanager
async def without_table(app: App, name: str) -> AsyncIterator[None]:
    """The database refuses whatever asks for a table."""
    async with app.database.write() as session:
        await session.execute(text(f"ALTER TABLE {name} RENAME TO away"))
    yield
    async with app.database.write() as session:
        await session.execute(text(f"ALTER TABLE away RENAME TO {name}"))


async def test_only_one_process_serves(opened: Callable[[], Any]) -> None:
    async with opened() as first, opened() as second:
        async with first.serving():
            assert first.is_sending
            with pytest.raises(SenderBusy):
                async with second.serving():
                    pass
            with pytest.raises(SenderBusy):
                async with second.sending():
                    pass
        async with second.serving():
            assert second.is_sending
            assert await workers(second) == 1
        assert await workers(second) == 0


async def test_serving_begins_beside_a_process_that_sends_and_takes_over_what_that_left(
    opened: Callable[[], Any],
) -> None:
    async with opened() as sends, opened() as serves:
        async with sends.sending(), serves.serving():
            assert not serves.is_sending
            assert await serves.pipeline.deliver() == 0
            await serves.sweep()
        # It never was a worker, so nothing is left of it.
        assert await workers(serves) == 0
        async with sends.sending():
            serving = serves.serving()
            await serving.__aenter__()
            async with serves.database.write() as session:
                # A process that was killed before either of these.
                await session.execute(
                    text(
                        "INSERT INTO worker (id, node, started_at, heartbeat_at)"
                        " VALUES ('dead', 'x', '2026-11-21 00:00:00', '2099-01-01 00:00:00')"
                    )
                )
            assert not serves.is_sending
        await until(lambda: serves.is_sending)
        await until(lambda: serves.sender.worker.id != "")
        await serves.sweep()
        assert await workers(serves) == 1
        assert serves.sender.worker.id != "dead"
        await serving.__aexit__(None, None, None)
        assert await workers(serves) == 0
        async with sends.sending():
            assert sends.is_sending


@pytest.mark.parametrize("table", ["worker", "throttle"])
async def test_a_start_that_fails_gives_the_right_back(
    opened: Callable[[], Any], table: str
) -> None:
    async with opened() as app, opened() as other:
        async with without_table(other, table):
            with pytest.raises(Exception, match="no such table"):
                async with app.serving():
                    pass
            assert not app.is_sending
        async with other.sending():
            # Whatever the half of a start left behind is buried.
            assert await workers(other) == 1
        async with app.serving():
            assert app.is_sending


@pytest.mark.parametrize("table", ["worker", "throttle"])
async def test_a_process_that_waits_to_send_goes_on_asking_when_a_start_fails(
    opened: Callable[[], Any], table: str
) -> None:
    async with opened() as sends, opened() as serves:
        assert sends.lock.acquire()
        async with serves.serving():
            with capture_logs() as logs:
                async with without_table(sends, table):
                    sends.lock.release()
                    await until(lambda: any("cannot begin" in one["event"] for one in logs))
            await until(lambda: serves.is_sending)
        assert await workers(serves) == 0


async def test_an_end_while_waiting_to_send_leaves_nothing(opened: Callable[[], Any]) -> None:
    async with opened() as sends, opened() as serves, sends.sending():
        for _ in range(3):
            async with serves.serving():
                await asyncio.sleep(0.02)
            assert not serves.is_sending
        assert await workers(sends) == 1
