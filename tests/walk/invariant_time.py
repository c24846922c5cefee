"""What time and machines do, as rules."""

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import (
    rule,
)
from invariant_desk import TOPICS, answers, people, policies, topics
from invariant_people import People
from invariant_relay import DEATHS, Answer
from invariant_world import SOURCES
from sqlalchemy import select
from sqlmodel import col

from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.edition import Edition, EditionState


class Time(People):
    """The clock goes on, and jumps; relays answer; processes end, and die."""

    @rule(place=st.integers(0, 3), news=st.booleans())
    def go_to_next(self, place: int, news: bool) -> None:
        """To one of the next instants at which something is due."""
        if news:
            self._news()
        self.run(self._go_to_next(place))

    async def _go_to_next(self, place: int) -> None:
        times = set((await self.world.app.pipeline.load_due_times()).values())
        async with self.world.app.database.read() as session:
            drafts = select(Edition.due_at).where(col(Edition.state) == EditionState.DRAFT)
            times |= {row[0] for row in (await session.execute(drafts)).all() if row[0]}
            deferred = select(Delivery.next_at).where(col(Delivery.state) == DeliveryState.DEFERRED)
            times |= {row[0] for row in (await session.execute(deferred)).all()}
        if any(schedule.is_each_article for schedule in self._schedules_in_use()):
            times.add(self.world.now + timedelta(minutes=10))
        ahead = sorted(one for one in times if one > self.world.now)
        self.world.now = max(self.world.now, ahead[min(place, len(ahead) - 1)])
        self.say("the clock goes on")
        await self._live()

    @rule(
        topics=st.lists(topics, min_size=1, max_size=3),
        source=st.sampled_from(SOURCES),
        times=st.integers(1, 3),
    )
    def news_comes_and_goes_out(
        self, topics: list[tuple[str, ...]], source: str, times: int
    ) -> None:
        """What days are made of, so that no story is idle."""
        for one in topics:
            self._tell(source, one, "city", self.world.now.replace(microsecond=0))
        self.say(f"articles up to {len(self.account.articles)} in {source}: {topics}")
        self.run(self._ingest())
        for _ in range(times):
            self.run(self._go_to_next(0))

    @rule(hours=st.sampled_from([3, 30, 24 * 5, 24 * 20]))
    def machine_is_off(self, hours: int) -> None:
        self.world.now += timedelta(hours=hours)
        self.say(f"nothing happens for {hours} hours")
        self.run(self._live())

    @rule(hours=st.sampled_from([1, 9, 30]))
    def clock_goes_back(self, hours: int) -> None:
        self.world.now -= timedelta(hours=hours)
        self.say(f"the clock goes back {hours} hours")
        self.run(self._live())

    @rule(told=answers)
    def relay_answers(self, told: list[Answer]) -> None:
        for person, answer in enumerate(told):
            self.world.relay.told[f"reader{person}@example.com"] = answer
        self.say(f"the relay answers {[one.value for one in told]}")

    @rule(policy=policies)
    def restart(self, policy: str) -> None:
        self.policy = policy
        self.say(f"a restart, policy {policy}")
        self.run(self.world.restart(policy))

    def _news(self) -> None:
        """Two articles for everybody."""
        for _ in range(2):
            self._tell("desk", TOPICS, "city", self.world.now.replace(microsecond=0))
        self.say(f"articles up to {len(self.account.articles)} in desk")
        self.run(self._ingest())

    @rule(person=people, answer=st.sampled_from(DEATHS), policy=policies, place=st.integers(0, 3))
    def die_sending(self, person: int, answer: Answer, policy: str, place: int) -> None:
        self._news()
        self.world.relay.told[f"reader{person}@example.com"] = answer
        self.policy = policy
        self.say(f"at a mail to person {person} it {answer.value}; then {policy}")
        self.run(self._go_to_next(place))
        if self.world.relay.told.get(f"reader{person}@example.com") is answer:
            del self.world.relay.told[f"reader{person}@example.com"]

    @rule(commits=st.integers(0, 12), place=st.integers(0, 3), policy=policies)
    def die_between_commits(self, commits: int, place: int, policy: str) -> None:
        self._news()
        self.policy = policy
        self.say(f"dies after {commits} commits; then {policy}")
        self.world.commits_left = commits
        self.run(self._go_to_next(place))
        self.world.commits_left = None
