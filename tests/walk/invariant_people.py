"""What subscribers do, as rules."""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
)
from invariant_account import Consent
from invariant_desk import PEOPLE, Desk, people, policies, wants, which
from sqlalchemy import select
from sqlmodel import col

from feedsvc.audience import choices
from feedsvc.audience.consent import RequestVerdict
from feedsvc.audience.subscriptions import (
    add_confirmed,
    confirm,
    request_subscription,
    unsubscribe,
)
from feedsvc.editions.registry import find_newsletter
from feedsvc.errors import ChoiceInvalid, InvalidToken
from feedsvc.kit.addresses import parse_address
from feedsvc.model.notice import Notice
from feedsvc.model.subscriber import Resume


class People(Desk):
    """Subscribers come and go, and choose."""

    @initialize(wanted=st.lists(wants, min_size=PEOPLE, max_size=PEOPLE), policy=policies)
    def begin(self, wanted: list[Any], policy: str) -> None:
        self.policy = policy
        self.run(self._begin())
        self.say(f"policy {policy}")
        for person, want in enumerate(wanted):
            self.join(person, want)

    def _consent(self, which: int, *states: str) -> Consent | None:
        there = [one for one in self.account.consents.values() if one.state in states]
        return there[which % len(there)] if there else None

    def _about(self, person: int, want: Any) -> dict[str, Any]:
        newsletter, schedule, topics, zone, language = want
        schedules = self.schedules[newsletter]
        return {
            "schedule": schedules[schedule % len(schedules)],
            "address": parse_address(f"reader{person}@example.com"),
            "name": "",
            "language": language,
            "zone": zone,
            "topics": topics,
            "consent_text": "made up",
        }

    @rule(person=people, want=wants)
    def join(self, person: int, want: Any) -> None:
        if (person, want[0]) in self.account.consents:
            return
        about = self._about(person, want)

        async def work(session: Any) -> Any:
            newsletter = (await find_newsletter(session, want[0])).newsletter
            return await add_confirmed(session, newsletter=newsletter, now=self.world.now, **about)

        row = self.run(self._change(work))
        one = Consent(
            person, want[0], about["schedule"].key, tuple(row.topics), id=row.id,
            start=row.cursor, cursor=row.cursor,
        )  # fmt: skip
        self.account.consents[person, want[0]] = one
        self.say(f"person {person} joins {want[0]}.{one.schedule} {one.topics} at {row.cursor}")

    @rule(which=which)
    def leave(self, which: int) -> None:
        if one := self._consent(which, "active", "paused"):
            self.say(f"person {one.person} leaves {one.newsletter}")
            self.run(self._change(lambda s: unsubscribe(s, one.id, self.world.now, "one-click")))
            one.state, one.until = "unsubscribed", None

    @precondition(lambda self: self._consent(0, "unsubscribed"))
    @rule(which=which, want=wants)
    def come_back(self, which: int, want: Any) -> None:
        one = self._consent(which, "unsubscribed")
        assert one is not None
        about = self._about(one.person, (one.newsletter, *want[1:]))

        async def work(session: Any) -> bool:
            now = self.world.now
            newsletter = (await find_newsletter(session, one.newsletter)).newsletter
            verdict = await request_subscription(
                session, newsletter=newsletter, now=now, how="form",
                notice_expires_at=now + timedelta(hours=1), **about,
            )  # fmt: skip
            if verdict is not RequestVerdict.ASK:
                return False
            latest = select(Notice).order_by(col(Notice.id).desc()).limit(1)
            notice = (await session.execute(latest)).scalar_one()
            await confirm(session, one.id, notice.created_at, now)
            return True

        try:
            is_back = self.loop.run_until_complete(self._change(work))
        except InvalidToken:
            return  # they left in what is the future now
        if is_back:
            one.state, one.topics = "active", tuple(sorted(want[2]))
            one.schedule = about["schedule"].key
            self.say(f"person {one.person} is back in {one.newsletter}.{one.schedule}")
            self.run(self._look())

    @rule(
        which=which, resume=st.sampled_from(Resume), hours=st.sampled_from([1, 13, 50, 400, None])
    )
    def pause(self, which: int, resume: Resume, hours: int) -> None:
        if one := self._consent(which, "active", "paused"):
            until = self.world.now + timedelta(hours=hours) if hours else None
            self.say(f"person {one.person} pauses {one.newsletter} until {until}: {resume}")
            self.run(
                self._change(
                    lambda s: choices.pause(s, one.id, until, resume, self.world.now, "subscriber")
                )
            )
            one.state, one.until, one.resume = "paused", until, resume.value

    @precondition(lambda self: self._consent(0, "paused"))
    @rule(which=which, how=st.sampled_from([None, *Resume]))
    def go_on(self, which: int, how: Resume | None) -> None:
        one = self._consent(which, "paused")
        assert one is not None
        self.say(f"person {one.person} goes on with {one.newsletter}: {how or one.resume}")
        self.run(
            self._change(lambda s: choices.resume(s, one.id, self.world.now, "subscriber", how))
        )
        one.state, one.until = "active", None
        self.run(self._look())

    @rule(which=which, want=wants, parts=st.sets(st.integers(0, 3), min_size=1))
    def choose(self, which: int, want: Any, parts: set[int]) -> None:
        one = self._consent(which, "active", "paused")
        if one is None:
            return
        schedules = self.schedules[one.newsletter]
        key = schedules[want[1] % len(schedules)].key
        wanted = choices.Choices(
            schedule=key if 0 in parts else None,
            topics=want[2] if 1 in parts else None,
            zone=want[3] if 2 in parts else None,
            language=want[4] if 3 in parts else None,
        )
        try:
            row = self.loop.run_until_complete(
                self._change(
                    lambda s: choices.change_choices(
                        s, one.id, wanted, self.world.now, "subscriber"
                    )
                )
            )
        except ChoiceInvalid:
            return  # no article has this topic yet
        one.topics = tuple(row.topics)
        one.schedule = key if 0 in parts else one.schedule
        self.say(f"person {one.person} chooses in {one.newsletter}: {wanted}")

    def _schedules_in_use(self) -> list[Any]:
        used = {(one.newsletter, one.schedule) for one in self.account.consents.values()}
        return [
            one for key, rows in self.schedules.items() for one in rows if (key, one.key) in used
        ]
