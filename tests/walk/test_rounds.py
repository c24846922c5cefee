"""Work that is due is done so much at a time, little for each host, and none is overlooked."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

import pytest

from feedsvc.errors import DatabaseUnavailable
from feedsvc.pipeline.rounds import Rounds

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Piece:
    host: str


class Heap:
    """Pieces of work, and who did what."""

    def __init__(self, *hosts: str) -> None:
        self.waiting = [Piece(host) for host in hosts]
        self.done: list[str] = []
        self.looks: list[tuple[int, list[str]]] = []
        self.stopping = asyncio.Event()
        self.most_at_once = self._at_once = 0

    async def claim(self, free: int, busy: Collection[str]) -> list[Piece]:
        self.looks.append((free, sorted(busy)))
        taken, self.waiting = self.waiting[:free], self.waiting[free:]
        return taken

    async def do(self, piece: Piece) -> None:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(0)
        self._at_once -= 1
        if piece.host == "broken":
            raise ValueError("broken")
        if piece.host == "outage":
            raise DatabaseUnavailable("gone")
        self.done.append(piece.host)


async def test_all_is_done_so_much_at_a_time() -> None:
    heap = Heap(*"abcdefg")
    await Rounds(heap.claim, heap.do, 3, heap.stopping).work()
    assert sorted(heap.done) == list("abcdefg")
    assert heap.most_at_once == 3
    assert heap.looks[0] == (3, [])


async def test_one_piece_that_fails_holds_up_no_other() -> None:
    heap = Heap("a", "broken", "b")
    await Rounds(heap.claim, heap.do, 2, heap.stopping).work()
    assert sorted(heap.done) == ["a", "b"]


async def test_a_database_that_is_gone_ends_it() -> None:
    heap = Heap("outage", *"abcdef")
    with pytest.raises(DatabaseUnavailable):
        await Rounds(heap.claim, heap.do, 1, heap.stopping).work()
    assert heap.done == []


async def test_what_comes_at_the_last_look_is_not_overlooked() -> None:
    heap = Heap("a")

    async def claim(free: int, busy: Collection[str]) -> list[Piece]:
        taken = await heap.claim(free, busy)
        if not taken and not busy and len(heap.looks) < 4:
            heap.waiting.append(Piece("late"))
            await rounds.work()  # asked again, and answered at once
        return taken

    rounds = Rounds(claim, heap.do, 2, heap.stopping)
    await rounds.work()
    assert heap.done[:2] == ["a", "late"]
    assert heap.waiting == []


async def test_a_host_that_hides_others_behind_it_holds_none_of_them_up() -> None:
    """What is claimed is looked for among so many only, and those may all be of one slow host."""
    waiting = [*[Piece("slow")] * 9, Piece("quick")]
    quick_done, done = asyncio.Event(), []

    async def claim(free: int, busy: Collection[str]) -> list[Piece]:
        seen = [one for one in waiting if one.host not in busy][:5]
        taken = seen[:1]  # one for each host at a time
        for piece in taken:
            waiting.remove(piece)
        return taken

    async def do(piece: Piece) -> None:
        if piece.host == "slow":
            await asyncio.wait_for(quick_done.wait(), 5)
        else:
            quick_done.set()
        done.append(piece.host)

    await Rounds(claim, do, 3, asyncio.Event()).work()
    assert sorted(done) == ["quick", *["slow"] * 9]


async def test_nothing_is_begun_when_the_end_has_come() -> None:
    heap = Heap(*"abc")
    rounds = Rounds(heap.claim, heap.do, 1, heap.stopping)

    async def do(piece: Piece) -> None:
        await heap.do(piece)
        heap.stopping.set()

    await Rounds(heap.claim, do, 1, heap.stopping).work()
    await rounds.work()
    assert heap.done == ["a"]
