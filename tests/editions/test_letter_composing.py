"""Announcements: to exactly those they name, once, whatever ends composing in between."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from edition_desk import DAY, NOW, Desk
from sqlalchemy import insert, select
from sqlmodel import col

from feedsvc.editions import letters
from feedsvc.editions.cohort_store import RenderedCohort
from feedsvc.editions.control import cancel_edition, pause_edition, resume_edition
from feedsvc.editions.letters import LetterPlan
from feedsvc.editions.recipients import Addressees, Recipients, count_recipients
from feedsvc.editions.writing import make_letter, read_writing
from feedsvc.errors import EditionOver, TextUnusable
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.edition import Cohort, Edition, EditionKind, EditionState, Wave
from feedsvc.model.newsletter import Schedule
from feedsvc.model.subscriber import AddressState, Subscriber, Subscription, SubscriptionState

pytestmark = pytest.mark.anyio


class _Killed(BaseException):
    """The process ends here."""


WRITING = read_writing("我们搬家了", "亲爱的读者，\n\n我们搬到 **新** 址。")


@dataclass
class Crowd:
    """Readers of a newsletter with two schedules, in both languages and several zones."""

    desk: Desk
    evening: int = 0
    names: dict[int, str] = field(default_factory=dict)

    async def open(self) -> None:
        async with self.desk.database.write() as session:
            evening = Schedule(
                newsletter_id=self.desk.newsletter_id,
                key="evening",
                label="Evenings",
                cron="0 18 * * *",
                zone="Europe/Madrid",
                since=NOW,
            )
            session.add(evening)
            await session.flush()
            self.evening = evening.id or 0

    async def join(self, name: str, **choices: object) -> int:
        person = {key: choices.pop(key) for key in ("state", "address_state") if key in choices}
        address_state = person.pop("address_state", AddressState.GOOD)
        number = await self.desk.join(name, **person)  # type: ignore[arg-type]
        if choices:
            await self.desk.change(Subscription, number, **choices)
        if address_state is not AddressState.GOOD:
            async with self.desk.database.write() as session:
                subscription = await session.get_one(Subscription, number)
                row = await session.get_one(Subscriber, subscription.subscriber_id)
                row.state = address_state  # type: ignore[assignment]
                await session.flush()
        self.names[number] = name
        return number

    async def join_many(self, count: int) -> list[int]:
        """Many at once, every third of them in Chinese."""
        async with self.desk.database.write() as session:
            people = await session.execute(
                insert(Subscriber).returning(col(Subscriber.id)),
                [
                    {"address": f"r{n}@example.com", "address_key": f"r{n}", "created_at": NOW}
                    for n in range(count)
                ],
            )
            joined = await session.execute(
                insert(Subscription).returning(col(Subscription.id)),
                [
                    {
                        "subscriber_id": row[0],
                        "newsletter_id": self.desk.newsletter_id,
                        "schedule_id": self.desk.schedule_id,
                        "state": SubscriptionState.ACTIVE,
                        "cursor": 10,
                        "language": "en" if n % 3 else "zh-CN",
                        "requested_at": NOW,
                        "consent_text": "",
                    }
                    for n, row in enumerate(people.all())
                ],
            )
            return [row[0] for row in joined.all()]

    async def make(self, meant: Addressees | None = None, **how: object) -> int:
        writing = read_writing("Hello", "Hello.", meant or Addressees())
        async with self.desk.database.write() as session:
            return await make_letter(
                session,
                self.desk.newsletter_id,
                writing,
                due_at=how.pop("due_at", NOW),  # type: ignore[arg-type]
                now=NOW,
                **how,  # type: ignore[arg-type]
            )

    async def plan(self, edition_id: int) -> LetterPlan | None:
        async with self.desk.database.read() as session:
            return await letters.load_letter(session, edition_id, NOW)

    async def render(self, plan: LetterPlan) -> None:
        async with self.desk.database.read() as session:
            languages = await letters.load_languages(session, plan)
        for one in languages:
            async with self.desk.database.write() as session:
                mail = RenderedCohort(f"Hello in {one}", "h", "t", "p", 0)
                await letters.store_letter(session, plan, one, mail)

    async def write(self, plan: LetterPlan, after_id: int, limit: int = 50) -> int | None:
        async with self.desk.database.read() as session:
            ids = await letters.next_recipients(session, plan, after_id, limit)
        async with self.desk.database.write() as session:
            await letters.write_chunk(session, plan, ids, NOW, DAY)
        return ids[-1] if ids else None

    async def compose(self, edition_id: int) -> EditionState | None:
        plan = await self.plan(edition_id)
        if plan is None:
            return None
        await self.render(plan)
        after_id: int | None = 0
        while after_id is not None:
            after_id = await self.write(plan, after_id)
        return await self.freeze(plan)

    async def freeze(self, plan: LetterPlan) -> EditionState | None:
        async with self.desk.database.read() as session:
            standing = await letters.load_standing(session, plan)
        async with self.desk.database.write() as session:
            return await letters.freeze_letter(session, plan, standing, NOW)

    async def mails(self, edition_id: int) -> list[Delivery]:
        async with self.desk.database.read() as session:
            query = select(Delivery).where(col(Delivery.edition_id) == edition_id)
            return list((await session.execute(query.order_by(col(Delivery.id)))).scalars())

    async def got(self, edition_id: int) -> set[str]:
        return {self.names[one.subscription_id or 0] for one in await self.mails(edition_id)}


@pytest.fixture
async def crowd(desk: Desk) -> Crowd:
    crowd = Crowd(desk)
    await crowd.open()
    return crowd


@pytest.fixture
async def cast(crowd: Crowd) -> Crowd:
    """Some who would get it, and some who would not."""
    await crowd.join("alice", topics=["City", "文化"])
    await crowd.join("李雷", language="zh-CN", zone="Asia/Tokyo")
    await crowd.join("dora", schedule_id=crowd.evening, language="zh", topics=["文化"])
    await crowd.join("erik", schedule_id=crowd.evening, zone="Asia/Shanghai", topics=["Sport"])
    await crowd.join("bob", state=SubscriptionState.PENDING)
    await crowd.join("gone", state=SubscriptionState.UNSUBSCRIBED)
    await crowd.join("rest", state=SubscriptionState.PAUSED)
    await crowd.join("carol", address_state=AddressState.COMPLAINED)
    return crowd


AUDIENCES = [
    pytest.param(Addressees(), {"alice", "李雷", "dora", "erik"}, id="everybody"),
    pytest.param(Addressees(schedules=("evening",)), {"dora", "erik"}, id="schedule"),
    pytest.param(
        Addressees(schedules=("evening", "morning")), {"alice", "李雷", "dora", "erik"}, id="both"
    ),
    pytest.param(Addressees(languages=("zh",)), {"李雷", "dora"}, id="language and its regions"),
    pytest.param(Addressees(languages=("zh-cn",)), {"李雷"}, id="region in any letter case"),
    pytest.param(Addressees(languages=("z%",)), set(), id="no pattern"),
    pytest.param(Addressees(zones=("Asia/Shanghai",)), {"alice", "erik"}, id="zone, or schedule's"),
    pytest.param(Addressees(zones=("Europe/Madrid",)), {"dora"}, id="zone of the schedule"),
    pytest.param(Addressees(topics=("文化",)), {"alice", "李雷", "dora"}, id="topic, or all"),
    pytest.param(Addressees(topics=("Sport", "City")), {"alice", "李雷", "erik"}, id="topics"),
    pytest.param(
        Addressees(schedules=("evening",), topics=("Sport",), languages=("en",)), {"erik"}, id="all"
    ),
    pytest.param(Addressees(topics=("'; DROP TABLE delivery; --",)), {"李雷"}, id="hostile"),
]


@pytest.mark.parametrize(("meant", "names"), AUDIENCES)
async def test_it_goes_to_exactly_those_it_names(
    cast: Crowd, meant: Addressees, names: set[str]
) -> None:
    edition_id = await cast.make(meant)
    async with cast.desk.database.read() as session:
        counts = await count_recipients(session, Recipients(cast.desk.newsletter_id, meant))
    state = await cast.compose(edition_id)
    assert state is (EditionState.FROZEN if names else EditionState.SKIPPED)
    assert await cast.got(edition_id) == names
    for of in (counts.schedules, counts.languages, counts.zones):
        assert sum(of.values()) == counts.total == len(names)
    assert counts.total + sum(counts.left_out.values()) == 8
    edition = await cast.desk.edition(edition_id)
    assert edition.counters == {
        "deliveries": len(names),
        "waiting": 0,
        "left_out": dict(counts.left_out),
    }


async def test_why_others_do_not_get_it_is_said(cast: Crowd) -> None:
    meant = Addressees(schedules=("evening",), languages=("en",))
    async with cast.desk.database.read() as session:
        counts = await count_recipients(session, Recipients(cast.desk.newsletter_id, meant))
    assert counts.left_out == {
        "not confirmed": 1,
        "unsubscribed": 1,
        "paused": 1,
        "complained": 1,
        "have another schedule": 2,
        "read another language": 1,
    }
    assert counts.zones == {"Asia/Shanghai": 1}


async def test_each_gets_it_in_the_language_of_their_mails(cast: Crowd) -> None:
    edition_id = await cast.make()
    await cast.compose(edition_id)
    async with cast.desk.database.read() as session:
        cohorts = await session.execute(
            select(Cohort.id, Cohort.language).where(col(Cohort.edition_id) == edition_id)
        )
        language_of = {row[0]: row[1] for row in cohorts.all()}
        people = {
            one.subscription_id: language_of[one.cohort_id] for one in await cast.mails(edition_id)
        }
        for number, language in people.items():
            assert (await session.get_one(Subscription, number)).language == language
    assert Counter(language_of.values()) == {"en": 1, "zh": 1, "zh-CN": 1}


async def test_its_mails_have_no_window_and_cannot_be_claimed_before_all_are_there(
    cast: Crowd,
) -> None:
    edition_id = await cast.make()
    plan = await cast.plan(edition_id)
    assert plan is not None
    await cast.render(plan)
    await cast.write(plan, 0, limit=2)
    assert len(await cast.mails(edition_id)) == 2
    assert (await cast.desk.edition(edition_id)).state is EditionState.COMPOSING
    assert await cast.freeze(plan) is None
    assert await cast.compose(edition_id) is EditionState.FROZEN
    for one in await cast.mails(edition_id):
        assert (one.from_seq, one.cut_seq, one.state) == (None, None, DeliveryState.PENDING)
        assert (one.next_at, one.expires_at) == (NOW, NOW + DAY)
    async with cast.desk.database.read() as session:
        wave = await session.scalar(select(Wave).where(col(Wave.edition_id) == edition_id))
    assert wave is not None
    assert (wave.zone, wave.composed_at, wave.waiting) == ("*", NOW, 0)


@pytest.mark.parametrize("chunks", range(11))
async def test_a_kill_at_every_fifty_recipients_drops_nobody_and_repeats_nobody(
    crowd: Crowd, chunks: int
) -> None:
    everybody = await crowd.join_many(500)
    edition_id = await crowd.make()
    plan = await crowd.plan(edition_id)
    assert plan is not None
    await crowd.render(plan)
    after_id: int | None = 0
    for _ in range(chunks):
        assert after_id is not None
        after_id = await crowd.write(plan, after_id)
    with suppress(_Killed):  # in the middle of the next one
        async with crowd.desk.database.write() as session:
            await letters.write_chunk(session, plan, everybody[50 * chunks :][:50], NOW, DAY)
            raise _Killed
    assert len(await crowd.mails(edition_id)) == 50 * chunks
    assert (await crowd.desk.edition(edition_id)).state is EditionState.COMPOSING
    assert await crowd.compose(edition_id) is EditionState.FROZEN
    got = [one.subscription_id for one in await crowd.mails(edition_id)]
    assert sorted(one or 0 for one in got) == everybody
    assert (await crowd.desk.edition(edition_id)).counters["deliveries"] == 500
    assert await crowd.compose(edition_id) is None


async def test_two_that_compose_it_at_once_write_each_mail_once(crowd: Crowd) -> None:
    everybody = await crowd.join_many(120)
    edition_id = await crowd.make()
    plan, again = await crowd.plan(edition_id), await crowd.plan(edition_id)
    assert plan is not None
    assert again is not None
    await crowd.render(plan)
    await crowd.render(again)
    after: list[int | None] = [0, 0]
    while any(one is not None for one in after):
        for number, one in enumerate((plan, again)):
            if (last := after[number]) is not None:
                after[number] = await crowd.write(one, last, limit=30 + 20 * number)
    states = []
    for one in (plan, again):
        states.append(await crowd.freeze(one))
    assert states == [EditionState.FROZEN, None]
    assert len(await crowd.mails(edition_id)) == len(everybody)


async def test_who_comes_while_it_is_composed_gets_it_too(crowd: Crowd) -> None:
    await crowd.join("alice")
    edition_id = await crowd.make()
    plan = await crowd.plan(edition_id)
    assert plan is not None
    await crowd.render(plan)
    await crowd.write(plan, 0)
    await crowd.join("late", language="zh")
    assert await crowd.freeze(plan) is None
    assert await crowd.compose(edition_id) is EditionState.FROZEN
    assert await crowd.got(edition_id) == {"alice", "late"}


async def test_a_letter_to_nobody_is_skipped_and_says_why(crowd: Crowd) -> None:
    nobody = await crowd.make()
    assert await crowd.compose(nobody) is EditionState.SKIPPED
    assert (await crowd.desk.edition(nobody)).reason == "no subscribers"
    await crowd.join("bob", state=SubscriptionState.PENDING)
    edition_id = await crowd.make(Addressees(languages=("fr",)))
    assert await crowd.compose(edition_id) is EditionState.SKIPPED
    edition = await crowd.desk.edition(edition_id)
    assert (edition.reason, edition.done_at) == ("nobody to send it to: 1 not confirmed", NOW)


async def test_it_is_not_composed_before_its_time_nor_as_a_draft(crowd: Crowd) -> None:
    await crowd.join("alice")
    later = await crowd.make(due_at=NOW + timedelta(seconds=1))
    draft = await crowd.make(draft=True)
    assert await crowd.compose(later) is None
    assert await crowd.compose(draft) is None
    edition = await crowd.desk.edition(draft)
    assert (edition.state, edition.due_at) == (EditionState.DRAFT, None)  # it never goes by itself


async def test_a_letter_that_is_paused_while_composed_goes_on_where_it_was(crowd: Crowd) -> None:
    await crowd.join_many(60)
    edition_id = await crowd.make()
    plan = await crowd.plan(edition_id)
    assert plan is not None
    await crowd.render(plan)
    await crowd.write(plan, 0)
    async with crowd.desk.database.write() as session:
        assert await pause_edition(session, edition_id, "wait", NOW)
    assert await crowd.compose(edition_id) is None
    assert await crowd.freeze(plan) is None
    async with crowd.desk.database.write() as session:
        assert await resume_edition(session, edition_id)
    assert await crowd.compose(edition_id) is EditionState.FROZEN
    assert len(await crowd.mails(edition_id)) == 60


async def test_a_cancelled_letter_carries_nothing_over_and_has_nothing_to_drop(
    crowd: Crowd,
) -> None:
    await crowd.join("alice")
    edition_id = await crowd.make()
    await crowd.compose(edition_id)
    with pytest.raises(EditionOver, match="no digest"):
        async with crowd.desk.database.write() as session:
            await cancel_edition(session, edition_id, drop=True)
    async with crowd.desk.database.write() as session:
        assert await cancel_edition(session, edition_id)
    edition = await crowd.desk.edition(edition_id)
    assert edition.reason == "cancelled by the operator; who has not got it will not"
    assert await crowd.desk.cursor("alice") == 10


@pytest.mark.parametrize(
    ("subject", "body", "why"),
    [
        ("", "x", "needs a subject"),
        (" \u3000\n", "x", "needs a subject"),
        ("x" * 201, "x", "at most 200"),
        ("a\x00b", "x", "control characters"),
        ("a\ud800", "x", "control characters"),
        ("Hello", " \n\x00 ", "is empty"),
        ("Hello", "字" * 100_001, "at most 100000"),
    ],
)
def test_what_no_mail_can_hold_is_refused(subject: str, body: str, why: str) -> None:
    with pytest.raises(TextUnusable, match=why):
        read_writing(subject, body)


def test_a_subject_cannot_begin_another_header() -> None:
    assert read_writing("Hello\r\nBcc: all@example.com", "x").subject == (
        "Hello Bcc: all@example.com"
    )
    assert read_writing("e\u0301dition  二", "x").subject == "\u00e9dition 二"


def test_the_kind_follows_from_what_it_is_about() -> None:
    assert WRITING.kind is EditionKind.ANNOUNCEMENT
    assert read_writing("a", "b", article_id=3).kind is EditionKind.CORRECTION


async def test_its_edition_keeps_what_was_written(crowd: Crowd) -> None:
    meant = Addressees(schedules=("morning",), languages=("zh",))
    edition_id = await crowd.make(meant, by="console", draft=True)
    async with crowd.desk.database.write() as session:
        edition = await session.get_one(Edition, edition_id)
        edition.state = EditionState.COMPOSING
        await session.flush()
    plan = await crowd.plan(edition_id)
    assert plan is not None
    assert plan.letter.audience == {"schedules": ["morning"], "languages": ["zh"]}
    assert Addressees.of(plan.letter.audience) == meant
    assert (plan.letter.subject, plan.letter.created_by) == ("Hello", "console")
    assert (plan.edition.kind, plan.edition.schedule_id) == (EditionKind.ANNOUNCEMENT, None)
