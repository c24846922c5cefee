"""A newsroom that hypothesis asks for things: how its rules work, and what articles do."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    rule,
)
from invariant_account import Account, Told
from invariant_relay import DEATHS, Answer
from invariant_rows import check_rows, read_rows
from invariant_world import SOURCES, START, House, World

from feedsvc.editions.registry import find_newsletter

PEOPLE = 4
#: So long nothing takes, however slow the machine.
_STUCK_SECONDS = 60
NEWSLETTERS = ("city", "desk", "late")
TOPICS = ("城市", "科技")
T = TypeVar("T")

people = st.integers(0, PEOPLE - 1)
which = st.integers(0, 30)
topics = st.sampled_from([(), ("城市",), ("科技",), TOPICS])
sections = st.sampled_from(["city", "city", "city", "ads"])
newsletters = st.sampled_from(["city", "city", *NEWSLETTERS])
zones = st.sampled_from(["Asia/Shanghai", "Europe/Madrid", "America/New_York"])
languages = st.sampled_from(["zh", "en"])
policies = st.sampled_from(["carry", "carry", "resend", "hold"])
answers = st.lists(
    st.sampled_from([Answer.ACCEPTED] * 4 + [one for one in Answer if one not in DEATHS]),
    min_size=PEOPLE,
    max_size=PEOPLE,
)
wants = st.tuples(newsletters, which, topics, zones, languages)


class Desk(RuleBasedStateMachine):
    """A world and its account, and what happens to articles."""

    house: House
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.account = Account()
        self.world = World(self.house)
        self.world.look = self._look
        self.policy = "carry"
        self.is_broken = self.is_open = False
        self.schedules: dict[str, list[Any]] = {}

    # -- how rules work --------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something with the product; the story goes on only while all is well."""
        try:
            return self.loop.run_until_complete(self._watched(work))
        except BaseException:
            self.is_broken = True
            raise

    async def _watched(self, work: Coroutine[Any, Any, T]) -> T:
        """A story that stands still is a fault, too."""
        task = asyncio.create_task(work)
        self.world.spared = {asyncio.current_task(), task}
        done, _ = await asyncio.wait([task], timeout=_STUCK_SECONDS)
        if not done:
            stacks = [str(one) for one in asyncio.all_tasks()]
            raise AssertionError("it stands still:\n" + "\n".join(stacks))
        return task.result()

    def say(self, line: str) -> None:
        """A line of the story that is printed with a failure."""
        note(f"{self.world.now:%m-%d %H:%M:%S} {line}")

    async def _look(self) -> None:
        async with self.world.app.database.read() as session:
            seen = await read_rows(self.world.app, session, self.account)
            await check_rows(session)
        before = {mail.id: mail.state for mail in self.account.mails.values()}
        try:
            self.account.look(seen, self.world.relay.handed)
        finally:
            for mail in self.account.mails.values():
                if before.get(mail.id) != mail.state:
                    shown, more = mail.shown
                    self.say(
                        f"  mail {mail.id}: edition {mail.edition_id} -> person"
                        f" {mail.consent.person} ({mail.from_seq}, {mail.cut_seq}]"
                        f" {mail.state} {sorted(shown)}+{more} of {mail.due}"
                    )

    async def _change(self, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """A write transaction of somebody's."""
        self.world.now += timedelta(seconds=1)
        self.world.relay.now = self.world.now
        async with self.world.app.database.write() as session:
            result = await work(session)
        return result

    async def _live(self) -> None:
        if not await self.world.live(self.policy):
            self.say("  the process died, and another took over")

    # -- the beginning ---------------------------------------------------------------------------

    async def _begin(self) -> None:
        await self.house.clear()
        await self.world.open(self.policy)
        self.is_open = True
        for source in SOURCES:
            self._tell(source, (), "city", START - timedelta(days=3), is_old=True)
        await self.world.ingest()
        async with self.world.app.database.read() as session:
            for key in NEWSLETTERS:
                self.schedules[key] = list((await find_newsletter(session, key)).schedules)
        await self._look()

    # -- articles --------------------------------------------------------------------------------

    def _tell(
        self,
        source: str,
        topics: tuple[str, ...],
        section: str,
        date: datetime,
        *,
        story: int | None = None,
        is_old: bool = False,
    ) -> Told:
        number = len(self.account.articles) + 1
        one = Told(
            number, source, topics, section, date, story if story is not None else number, is_old
        )
        self.account.articles[number] = one
        self._write(one)
        return one

    def _write(self, one: Told) -> None:
        lines = [
            f"title: 第{one.number}号",
            f"date: {one.date:%Y-%m-%dT%H:%M:%SZ}",
            f"section: {one.section}",
            f"topics: [{', '.join(one.topics)}]",
            f"canonical: https://news.example.org/stories/{one.story}",
            *(["draft: true"] if one.is_withdrawn else []),
        ]
        text = "\n".join(lines)
        body = f"正文，第 {one.edits} 版。"
        items = self.world.sources[one.source].items
        items[f"{one.number}.md"] = f"---\n{text}\n---\n\n{body}\n"

    async def _ingest(self) -> None:
        await self.world.ingest()
        await self._look()

    @rule(
        topics=topics, section=sections, source=st.sampled_from(SOURCES),
        minutes=st.sampled_from([0, 0, 0, -90, -60 * 24 * 30, 100]),
    )  # fmt: skip
    def publish(self, topics: tuple[str, ...], section: str, source: str, minutes: int) -> None:
        date = (self.world.now + timedelta(minutes=minutes)).replace(microsecond=0)
        one = self._tell(source, topics, section, date)
        self.say(f"article {one.number} in {source}, {topics}, {section}, dated {date:%m-%d %H:%M}")
        self.run(self._ingest())

    @rule(count=st.integers(2, 4), topics=topics)
    def publish_several(self, count: int, topics: tuple[str, ...]) -> None:
        for number in range(count):
            self._tell(SOURCES[number % 2], topics, "city", self.world.now.replace(microsecond=0))
        self.say(f"articles up to {len(self.account.articles)}, {topics}")
        self.run(self._ingest())

    def _article(self, which: int) -> Told | None:
        """One that has been published, and was not there from the beginning."""
        new = [one for one in self.account.articles.values() if not one.is_old and one.seq]
        return new[-1 - which % len(new)] if new else None

    @rule(which=which, topics=topics, section=sections)
    def edit(self, which: int, topics: tuple[str, ...], section: str) -> None:
        if one := self._article(which):
            one.edits += 1
            one.topics, one.section = topics, section
            self._write(one)
            self.say(f"article {one.number} edited: {topics}, {section}")
            self.run(self._ingest())

    @rule(which=which)
    def withdraw(self, which: int) -> None:
        if one := self._article(which):
            one.is_withdrawn = not one.is_withdrawn
            self._write(one)
            self.say(f"article {one.number} {'withdrawn' if one.is_withdrawn else 'back'}")
            self.run(self._ingest())

    @rule(which=which, topics=topics)
    def duplicate(self, which: int, topics: tuple[str, ...]) -> None:
        if one := self._article(which):
            other = SOURCES[1 - SOURCES.index(one.source)]
            now = self.world.now.replace(microsecond=0)
            copy = self._tell(other, topics, "city", now, story=one.story)
            self.say(f"article {copy.number}, {topics}, tells what {one.number} does")
            self.run(self._ingest())
