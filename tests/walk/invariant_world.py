"""A whole feedsvc over the real store, whose process may die, and a clock that is a value."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from invariant_relay import MemorySource, ScriptedRelay
from sqlalchemy import delete, event, text, update

from feedsvc.app import App
from feedsvc.config_file import load_settings
from feedsvc.db.engine import Database
from feedsvc.db.migrate import migrate
from feedsvc.kit.jobs import open_jobs
from feedsvc.model import metadata
from feedsvc.model.delivery import Worker

START = datetime(2026, 10, 20, 1, 30, tzinfo=UTC)
SOURCES = ("desk", "wire")
#: Sweeps at an instant, each with all the jobs it asked for.
_SWEEPS = 2
CONFIG = """\
time_zone = "Asia/Shanghai"
[database]
url = "{database}"
[sending]
look_up_providers = false
uncertain_digests = "{policy}"
[sources.desk]
type = "folder"
path = "desk"
[sources.wire]
type = "folder"
path = "wire"
[newsletters.city]
title = "城市"
from = "city@example.com"
sender = "例子"
postal_address = "上海"
archive = false
filter = 'section != "ads"'
carry_max = 2
[newsletters.city.schedules.morning]
label = "每天早上"
cron = "0 8 * * *"
time_zone = "Asia/Shanghai"
max_items = 2
min_items = 2
[newsletters.city.schedules.own]
label = "in your own zone"
cron = "30 7 * * *"
time_zone = "subscriber"
catch_up = "merge"
[newsletters.city.schedules.each]
label = "each article"
settle_minutes = 10
settle_max_minutes = 30
[newsletters.city.schedules.weekly]
label = "weekly"
cron = "0 9 * * mon"
time_zone = "Europe/Madrid"
min_items = 2
catch_up = "drop"
[newsletters.desk]
title = "Desk"
from = "desk@example.com"
sender = "Example"
postal_address = "Madrid"
archive = false
review = "draft"
review_minutes = 120
[newsletters.desk.schedules.daily]
label = "daily"
cron = "0 12 * * *"
time_zone = "Europe/Madrid"
max_items = 3
[newsletters.desk.schedules.own]
label = "own zone"
cron = "0 18 * * *"
time_zone = "subscriber"
[newsletters.late]
title = "Late"
from = "late@example.com"
sender = "Example"
postal_address = "New York"
archive = false
review = "draft"
review_minutes = 60
unapproved = "skip"
on_withdrawal = "stop"
[newsletters.late.schedules.daily]
label = "daily"
cron = "0 6 * * *"
time_zone = "America/New_York"
catch_up = "drop"
[newsletters.late.schedules.each]
label = "each article"
settle_minutes = 5
"""


class Killed(BaseException):
    """The process is no more: nothing of it reaches the database."""


class House:
    """The database and the folder that many worlds are made in, one after the other."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder, self.database_url = folder, database_url
        self.database = Database(database_url)

    async def build(self) -> None:
        """Make the tables."""
        await migrate(self.database)
        await open_jobs(self.database).prepare()

    async def clear(self) -> None:
        """Forget everything but the keys."""
        async with self.database.write() as session:
            for table in reversed(metadata.sorted_tables):
                if table.name != "signing_key":
                    await session.execute(delete(table))
            if self.database.kind == "postgresql":
                await session.execute(text("DELETE FROM pgqueuer"))

    def load(self, policy: str) -> Any:
        """The configuration, with this policy for mail without a reply."""
        path = self.folder / "config.toml"
        path.write_text(CONFIG.format(database=self.database_url, policy=policy), "utf-8")
        return load_settings(path, {}, self.folder)


class World:
    """One application after the other on one database; `look` is asked after every moment."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.now = START
        self.relay = ScriptedRelay()
        self.sources = {key: MemorySource(key) for key in SOURCES}
        #: Commits that the process still lives through; None for ever.
        self.commits_left: int | None = None
        self.deaths = 0
        #: The tasks that do not belong to the process.
        self.spared: set[asyncio.Task[Any] | None] = set()
        self.look: Callable[[], Coroutine[Any, Any, None]] | None = None

    async def open(self, policy: str) -> None:
        """Begin as a new process: recover what a dead one left, and send."""
        self.relay.died.clear()
        self.commits_left = None
        self._stack = AsyncExitStack()
        opened = App.open(
            self.house.load(policy), clock=self._clock, relay=self.relay, check_templates=False
        )
        self.app = await self._stack.enter_async_context(opened)
        self.app.sources.update(self.sources)
        event.listen(self.app.database.engine.sync_engine, "commit", self._count_commit)
        if self.app.database.kind == "postgresql":
            # By the database's clock nobody has heard of a dead one for a long time.
            async with self.app.database.write() as session:
                await session.execute(update(Worker).values(heartbeat_at=START - timedelta(days=9)))
                await session.execute(text("UPDATE pgqueuer SET heartbeat = now() - interval '1h'"))
        assert self.app.lock.acquire()
        await self.app.sender.start()
        self.app.is_sending = True
        await self.app.sender.recover()

    async def close(self) -> None:
        """End as a process does that is asked to."""
        await self.app.sender.close()
        self.app.lock.release()
        await self._stack.aclose()

    async def restart(self, policy: str) -> None:
        """End, and begin again with another policy."""
        await self.close()
        await self.open(policy)

    def _clock(self) -> datetime:
        return self.now

    def _count_commit(self, _connection: object) -> None:
        if self.commits_left is not None:
            if self.commits_left <= 0:
                self.relay.died.set()
                raise Killed
            self.commits_left -= 1

    async def live(self, policy: str) -> bool:
        """What `serve` does in a moment; False when the process died, and another took over."""
        self.now += timedelta(seconds=2)
        self.relay.now = self.now
        survived = await self._work_or_die()
        if not survived:
            await self._bury(policy)
        if self.look is not None:
            await self.look()
        return survived

    async def _work_or_die(self) -> bool:
        work = asyncio.create_task(self._work())
        death = asyncio.create_task(self.relay.died.wait())
        await asyncio.wait([work, death], return_when=asyncio.FIRST_COMPLETED)
        death.cancel()
        if not self.relay.died.is_set():
            work.result()
            return True
        return False

    async def _work(self) -> None:
        for _ in range(_SWEEPS):
            await self.app.sweep()
            await self.app.jobs.drain()

    async def ingest(self) -> None:
        """Have the newsroom's sources looked at, and what is due published."""
        self.now += timedelta(seconds=2)
        for key in self.sources:
            self.sources[key].modified_at = self.now
            await self.app.pipeline.ask_ingest(key)
        await self.app.jobs.drain()

    async def _bury(self, policy: str) -> None:
        """Nothing of a dead process goes on; its locks are free, its connections are closed."""
        self.deaths += 1
        self.commits_left = 0
        for one in asyncio.all_tasks() - self.spared:
            one.cancel()
        await self._cut_connections()
        while left := {one for one in asyncio.all_tasks() - self.spared if not _is_closing(one)}:
            await asyncio.wait(left, timeout=1)
            for one in left:
                one.cancel()  # some go on to say what they have done
        self.app.lock.release()
        for who, answer in list(self.relay.told.items()):
            if answer.value.startswith("dies"):
                del self.relay.told[who]
        event.remove(self.app.database.engine.sync_engine, "commit", self._count_commit)
        await self._stack.aclose()
        await self.open(policy)

    async def _cut_connections(self) -> None:
        """A server sees the connections of a dead process end, and what they had locked is free."""
        if self.app.database.kind != "postgresql":
            return
        url = self.app.settings.database.url.get_secret_value()
        server = Database(url)
        async with server.engine.connect() as connection:
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        await server.dispose()


def _is_closing(task: asyncio.Task[Any]) -> bool:
    """Whether a task closes a connection whose query was cut off; some of them never end."""
    return "_terminate" in getattr(task.get_coro(), "__qualname__", "")
