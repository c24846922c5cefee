"""Works through what is due: so many at a time, few for each host, until nothing is due."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Generic, Protocol, TypeVar

import structlog

from feedsvc.errors import DatabaseUnavailable

log = structlog.get_logger(__name__)


class Claimed(Protocol):
    """Something to be done at a host."""

    @property
    def host(self) -> str:
        """Where."""
        ...


ClaimedT = TypeVar("ClaimedT", bound=Claimed)
#: How many at most, and the hosts at work, once for each piece of work -> what is to be done.
Claim = Callable[[int, Collection[str]], Awaitable[Sequence[ClaimedT]]]


class Rounds(Generic[ClaimedT]):
    """One worker of a kind in a process; asked again while it works, it looks again.

    A piece of work that fails is said and left to its claim; the others go on.

    Args:
        claim: takes what is due, so that nobody else does.
        do: does one piece, and notes what came of it.
        most: pieces of work at a time. A slow host holds up only those it has itself.
        stopping: when set, nothing new is claimed.
    """

    def __init__(
        self,
        claim: Claim[ClaimedT],
        do: Callable[[ClaimedT], Awaitable[None]],
        most: int,
        stopping: asyncio.Event,
    ) -> None:
        self._claim, self._do = claim, do
        self._most, self._stopping = most, stopping
        self._working = self._asked = False

    async def work(self) -> None:
        """Work until nothing is due. Raises DatabaseUnavailable; rows come due again."""
        self._asked = True
        if self._working:
            return
        self._working = True
        try:
            while self._asked and not self._stopping.is_set():
                self._asked = False
                await self._work_through()
        finally:
            self._working = False

    async def _work_through(self) -> None:
        running: dict[asyncio.Task[None], str] = {}
        try:
            while True:
                while not self._stopping.is_set() and len(running) < self._most:
                    free = self._most - len(running)
                    claimed = await self._claim(free, list(running.values()))
                    for one in claimed:
                        running[asyncio.ensure_future(self._do(one))] = one.host
                    # Those of a host that has its hands full may have hidden others: look again.
                    if not claimed:
                        break
                if not running:
                    return
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del running[task]
                    _see_through(task)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


def _see_through(task: asyncio.Task[None]) -> None:
    try:
        task.result()
    except DatabaseUnavailable:
        raise
    except Exception:
        log.exception("work failed")
