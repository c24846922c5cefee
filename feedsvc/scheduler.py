"""The clock of the service. APScheduler in memory; it decides nothing and pokes the pipeline.

A schedule holds one date job for its next due time. Whether anything is made of a poke is decided
by unique rows, so restarts, several nodes and clock jumps change nothing; the sweep every second
repeats any poke that was lost. What comes every few seconds goes by the loop's clock, which never
jumps: by the machine's, a jump back would leave it waiting for as long, and after one forward
APScheduler would count every second that was missed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from feedsvc.app import App
from feedsvc.errors import DatabaseUnavailable, FeedsvcError

log = structlog.get_logger(__name__)

#: Seconds between sweeps: how late a lost poke is noticed.
SWEEP_SECONDS = 1
#: Seconds between storing numbers of readers: what a crash can lose of them.
COUNT_SECONDS = 60
#: Seconds between looks at what failed after a publication, and between prunings.
CATCH_UP_SECONDS, PRUNE_SECONDS = 10, 24 * 3600


class Scheduler:
    """Pokes the pipeline when a schedule comes due, a source may have changed, or rows wait.

    `sweep` is what else is to be done every second.
    """

    def __init__(self, app: App, sweep: Callable[[], Awaitable[None]]) -> None:
        self._app = app
        self._sweep_rest = sweep
        self._clock = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._outage = False

    async def start(self) -> None:
        """Publish what the configuration may have changed, look at every source, then keep time."""
        await self._poke("publish", self._app.pipeline.start)
        for key in self._app.sources:
            await self._poke(f"scan {key}", partial(self._app.pipeline.ask_ingest, key))
        await self._poke("arm", self._arm)
        self._keep("sweep", self._repeat(self._sweep, SWEEP_SECONDS))
        for name, work, seconds in (
            ("count readers", self._app.pipeline.count_readers, COUNT_SECONDS),
            ("catch up", self._app.pipeline.catch_up, CATCH_UP_SECONDS),
            ("prune", self._app.pipeline.prune, PRUNE_SECONDS),
        ):
            self._keep(name, self._repeat(partial(self._poke, name, work), seconds))
        for key, source in self._app.settings.sources.items():
            scan = partial(self._poke, f"scan {key}", partial(self._app.pipeline.ask_ingest, key))
            self._keep(f"rescan:{key}", self._repeat(scan, source.rescan_seconds))
            self._keep(f"watch:{key}", self._watch(key))
        self._clock.start()

    async def stop(self) -> None:
        """Stop poking; what has been poked goes on."""
        if self._clock.running:
            self._clock.shutdown(wait=False)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _keep(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run something until `stop`."""
        self._tasks.append(asyncio.create_task(work, name=name))

    async def _repeat(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            await work()

    async def _arm(self) -> None:
        for schedule_id, due_at in (await self._app.pipeline.load_due_times()).items():
            self._clock.add_job(
                self._fire,
                "date",
                run_date=due_at,
                args=[due_at],
                id=f"due:{schedule_id}",
                replace_existing=True,
            )

    async def _fire(self, due_at: datetime) -> None:
        await self._poke(f"due {due_at.isoformat()}", self._app.pipeline.fire)
        await self._poke("arm", self._arm)

    async def _sweep(self) -> None:
        await self._poke("sweep", self._app.sweep)
        await self._poke("refresh", self._sweep_rest)

    async def _watch(self, key: str) -> None:
        async for _ in self._app.sources[key].changes():
            await self._poke(f"scan {key}", partial(self._app.pipeline.ask_ingest, key))

    async def _poke(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """Run one poke; a failed one is said and left to the next sweep."""
        try:
            await work()
        except DatabaseUnavailable as error:
            if not self._outage:
                log.error("database unavailable", poke=name, reason=str(error))
            self._outage = True
        except FeedsvcError as error:
            log.error("poke failed", poke=name, reason=str(error))
        except Exception as error:
            # A fault in one poke must not stop the clock of all.
            log.error("poke failed", poke=name, fault=f"{type(error).__name__}: {error}")
        else:
            if self._outage:
                log.info("database answers again")
            self._outage = False
