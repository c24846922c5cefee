"""Jobs in this process's memory, for SQLite: one process does all the work there."""

import asyncio
import json
from collections import deque
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.db.engine import after_commit
from feedsvc.errors import FeedsvcError
from feedsvc.kit.jobs import CONCURRENCY, Handler

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Job:
    name: str
    body: str
    once: str | None


class MemoryJobs:
    """See `feedsvc.kit.jobs.Jobs`. Keeps nothing beyond the process."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._waiting: deque[_Job] = deque()
        self._waiting_keys: set[str] = set()
        self._running: set[asyncio.Task[None]] = set()
        #: Jobs may be started: `run` or `drain` is at work, and `stop` has not been called.
        self._open = False
        self._stopping = False
        #: A job ended, or `stop` was called.
        self._changed = asyncio.Event()

    def register(self, name: str, handler: Handler) -> None:
        """Say who does the jobs of a name."""
        self._handlers[name] = handler

    async def prepare(self) -> None:
        """Nothing to make."""

    async def put(
        self, session: AsyncSession, name: str, payload: dict[str, Any], once: str | None = None
    ) -> None:
        """Hand a job over once the session's transaction is on disk."""
        if name not in self._handlers:
            raise ValueError(f"no handler is registered for jobs named {name!r}")
        job = _Job(name, json.dumps(payload), once)
        after_commit(session, lambda: self._hand_over(job))

    async def run(self) -> None:
        """Work until `stop`."""
        await self._work(until_empty=False)

    async def drain(self) -> None:
        """Work until nothing waits and nothing runs."""
        await self._work(until_empty=True)

    async def stop(self, grace_seconds: float) -> None:
        """Let running handlers finish within the grace, cancel the others."""
        self._open = False
        self._stopping = True
        self._changed.set()
        if self._running:
            await asyncio.wait(self._running, timeout=grace_seconds)
        await self._cancel_running()

    async def _work(self, *, until_empty: bool) -> None:
        self._open = not self._stopping
        self._start_what_waits()
        try:
            while not self._stopping or self._running:
                if until_empty and not self._waiting and not self._running:
                    return
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._open = False
            await self._cancel_running()

    def _hand_over(self, job: _Job) -> None:
        if job.once is not None:
            if job.once in self._waiting_keys:
                return
            self._waiting_keys.add(job.once)
        self._waiting.append(job)
        self._start_what_waits()

    def _start_what_waits(self) -> None:
        while self._open and self._waiting and len(self._running) < CONCURRENCY:
            job = self._waiting.popleft()
            if job.once is not None:
                self._waiting_keys.discard(job.once)
            task = asyncio.create_task(self._do(job), name=f"job {job.name}")
            self._running.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start_what_waits()
        self._changed.set()

    async def _do(self, job: _Job) -> None:
        try:
            await self._handlers[job.name](json.loads(job.body))
        except FeedsvcError as error:
            log.error("job failed", job=job.name, reason=str(error))
        except Exception:
            log.exception("job failed", job=job.name)

    async def _cancel_running(self) -> None:
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
