"""The main invariant, over the real store and the real sender, for whatever may happen in between.

Each announced article published after a confirmation is, for that subscription, in exactly one
edition that a relay accepted, or counted under "and n more" in it, or withdrawn, or did not match
the person's topics at the freeze of the window that settled it. Never in two.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from databases import drop_tables
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update
from sqlmodel import col

from feedsvc.app import App
from feedsvc.articles.publish import publish_due
from feedsvc.audience.subscriptions import (
    add_confirmed,
    confirm,
    request_subscription,
    unsubscribe,
)
from feedsvc.config_file import load_settings
from feedsvc.editions.fire import fire_by_hand
from feedsvc.editions.registry import find_newsletter
from feedsvc.kit.addresses import parse_address
from feedsvc.model import metadata
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.edition import CohortItem, ItemOutcome, Wave
from feedsvc.model.notice import Notice
from feedsvc.model.relay import Envelope, Permit, SendResult, Verdict
from feedsvc.model.subscriber import Subscriber, Subscription, SubscriptionState

START = datetime(2026, 11, 22, tzinfo=UTC)
TOPICS = ("城市", "科技")
PEOPLE = 3
CONFIG = """\
[database]
url = "{database}"
[newsletters.daily]
title = "每日新闻"
from = "news@example.com"
sender = "例子"
postal_address = "上海"
max_items = 2
[newsletters.daily.schedules.yearly]
label = "New Year"
cron = "0 0 1 1 *"
"""

topics = st.sampled_from([(), ("城市",), ("科技",), TOPICS])
person = st.integers(0, PEOPLE - 1)
article = st.integers(0, 9)
verdict = st.sampled_from(
    [Verdict.ACCEPTED] * 4 + [Verdict.DEFERRED, Verdict.REFUSED, Verdict.BLOCKED, Verdict.UNKNOWN]
)
verdicts = st.lists(verdict, min_size=PEOPLE, max_size=PEOPLE)
publish = st.tuples(
    st.just("publish"), topics, st.integers(-400, 0), st.sampled_from([True, True, True, False])
)
send = st.tuples(st.just("send"), verdicts)
event = st.one_of(
    st.tuples(st.just("edit"), article),
    st.tuples(st.just("withdraw"), article),
    st.tuples(st.just("join"), person, topics),
    st.tuples(st.just("leave"), person),
    st.tuples(st.just("choose"), person, topics),
    st.tuples(st.just("compose only")),
    st.tuples(st.just("retry"), verdicts),
)
#: News, things that happen, an edition: what a day is made of, so that no example is idle.
day = st.builds(
    lambda before, news, after, edition: [*before, *news, *after, edition],
    st.lists(event, max_size=1),
    st.lists(publish, min_size=1, max_size=3),
    st.lists(event, max_size=2),
    send,
)
beginnings = st.tuples(*(st.tuples(st.just("join"), st.just(who), topics) for who in range(PEOPLE)))
steps = st.builds(
    lambda beginning, days: [*beginning, *(step for day in days for step in day)],
    beginnings,
    st.lists(day, min_size=2, max_size=4),
)


@dataclass
class ScriptedRelay:
    """A relay whose verdicts are told; remembers what it truly accepted. Never loses its word."""

    name: str = "scripted"
    connections: int = 2
    is_usable: bool = True
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    accepted: list[tuple[str, bytes]] = field(default_factory=list)

    async def open(self) -> "ScriptedRelay":
        return self

    async def send(self, envelope: Envelope, message: bytes, permit: Permit) -> SendResult:
        if not await permit():
            return SendResult(Verdict.WITHHELD)
        verdict = self.verdicts.get(envelope.recipient, Verdict.ACCEPTED)
        if verdict is Verdict.ACCEPTED:
            self.accepted.append((envelope.recipient, message))
        return SendResult(verdict, 250, "as told")

    async def close(self) -> None:
        pass


class World:
    """One application, and what should be true of it by a simpler account."""

    def __init__(self, app: App, relay: ScriptedRelay) -> None:
        self.app, self.relay = app, relay
        self.now = START

    async def begin(self) -> None:
        """Forget everything but newsletter and schedule."""
        async with self.app.database.write() as session:
            for table in reversed(metadata.sorted_tables):
                if table.name not in ("newsletter", "schedule", "signing_key", "worker"):
                    await session.execute(delete(table))
            self.row = await find_newsletter(session, "daily")
        self.relay.verdicts.clear()
        self.relay.accepted.clear()
        self.articles: list[int] = []
        #: Cut of an edition -> topics of each person when it was composed.
        self.frozen: dict[int, dict[int, tuple[str, ...]]] = {}
        #: Person -> article number -> topics that decided when its window was settled.
        self.settled: dict[int, dict[int, tuple[str, ...]]] = defaultdict(dict)
        self.cursors: dict[int, int] = {}

    def address(self, who: int) -> str:
        return f"reader{who}@example.com"

    async def do(self, step: tuple[object, ...]) -> None:
        self.now += timedelta(minutes=1)
        name, *arguments = step
        await getattr(self, str(name).replace(" ", "_"))(*arguments)

    async def publish(self, chosen: tuple[str, ...], days: int, announce: bool) -> None:
        number = len(self.articles)
        async with self.app.database.write() as session:
            session.add(
                Article(
                    source="desk",
                    source_key=str(number),
                    fingerprint=f"{number:064d}",
                    guid=f"urn:x:{number}",
                    slug=f"x-{number}",
                    title=f"第{number}号",
                    topics=list(chosen),
                    language="zh-CN",
                    published_at=self.now + timedelta(days=days),
                    updated_at=self.now,
                    content="<p>正文。</p>",
                    summary="正文。",
                    content_hash=f"{number:064d}",
                    announce=announce,
                    stored_at=self.now,
                )
            )
            await session.flush()
            self.articles += await publish_due(session, self.now)

    async def edit(self, which: int) -> None:
        await self._change_article(which, revision=Article.revision + 1)

    async def withdraw(self, which: int) -> None:
        await self._change_article(which, state=ArticleState.WITHDRAWN)

    async def _change_article(self, which: int, **values: object) -> None:
        if self.articles:
            article_id = self.articles[which % len(self.articles)]
            async with self.app.database.write() as session:
                await session.execute(
                    update(Article).where(col(Article.id) == article_id).values(**values)
                )

    async def join(self, who: int, chosen: tuple[str, ...]) -> None:
        about = {
            "newsletter": self.row.newsletter,
            "schedule": self.row.schedules[0],
            "address": parse_address(self.address(who)),
            "name": "",
            "language": "zh",
            "zone": None,
            "topics": chosen,
            "now": self.now,
            "consent_text": "made up",
        }
        async with self.app.database.write() as session:
            known = await self._find(session, who)
            if known is None:
                await add_confirmed(session, **about)
            elif known.state is not SubscriptionState.ACTIVE:
                self.now += timedelta(days=8)  # confirmations have daily and weekly limits
                about["now"] = self.now
                await request_subscription(
                    session, **about, how="form", notice_expires_at=self.now + timedelta(hours=1)
                )
                notice = (
                    await session.execute(select(Notice).order_by(col(Notice.id).desc()).limit(1))
                ).scalar_one()
                await session.execute(
                    update(Delivery)
                    .where(col(Delivery.notice_id) == notice.id)
                    .values(state=DeliveryState.SENT)
                )
                back = await confirm(session, known.id or 0, notice.created_at, self.now)
                # They begin from now: what came while they were away is nobody's business.
                self.cursors[back.id or 0] = back.cursor or 0
        await self._look()

    async def leave(self, who: int) -> None:
        async with self.app.database.write() as session:
            known = await self._find(session, who)
            if known is not None:
                await unsubscribe(session, known.id or 0, self.now, "one-click")
        await self._look()

    async def choose(self, who: int, chosen: tuple[str, ...]) -> None:
        async with self.app.database.write() as session:
            known = await self._find(session, who)
            if known is not None:
                known.topics = sorted(chosen)

    async def compose_only(self) -> None:
        """An edition whose mails find no relay: they stay pending."""
        async with self.app.database.write() as session:
            edition_id = await fire_by_hand(session, self.row.newsletter, self.now)
            wave = (
                await session.execute(select(Wave).where(col(Wave.edition_id) == edition_id))
            ).scalar_one()
            people = await session.execute(
                select(col(Subscription.subscriber_id), col(Subscription.topics))
            )
            self.frozen[wave.cut_seq] = {who: tuple(chosen) for who, chosen in people.all()}
        await self.app.pipeline.compose(edition_id)
        await self._look()

    async def send(self, told: list[Verdict]) -> None:
        await self.compose_only()
        self._tell(told)
        await self.app.pipeline.deliver()
        await self._look()

    async def retry(self, told: list[Verdict]) -> None:
        self.now += timedelta(hours=3)
        self._tell(told)
        await self.app.pipeline.deliver()
        await self._look()

    def _tell(self, told: list[Verdict]) -> None:
        self.relay.verdicts = {self.address(who): one for who, one in enumerate(told)}

    async def _find(self, session: object, who: int) -> Subscription | None:
        return await session.scalar(  # type: ignore[attr-defined]
            select(Subscription)
            .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
            .where(col(Subscriber.address) == self.address(who))
        )

    async def _look(self) -> None:
        """Note for every number a cursor has just passed which freeze decided about it."""
        async with self.app.database.read() as session:
            rows = (await session.execute(select(Subscription))).scalars().all()
        for row in rows:
            before = self.cursors.get(row.id or 0, row.cursor or 0)
            after = row.cursor or 0
            self.cursors[row.id or 0] = after
            assert after >= before, "a cursor went back"
            decided = self.frozen.get(after, {}).get(row.subscriber_id)
            for seq in range(before + 1, after + 1):
                if row.state is SubscriptionState.ACTIVE and decided is not None:
                    self.settled[row.id or 0].setdefault(seq, decided)

    async def check(self) -> None:
        mailed: dict[tuple[str, int], int] = defaultdict(int)
        for recipient, message in self.relay.accepted:
            body = message_from_bytes(message, policy=policy.default).get_body(("plain",))
            assert body is not None
            for number in set(re.findall(r"第(\d+)号", body.get_content())):
                mailed[recipient, int(number)] += 1
        assert max(mailed.values(), default=0) <= 1, "an article was mailed twice"
        async with self.app.database.read() as session:
            articles = (await session.execute(select(Article))).scalars().all()
            people = (
                await session.execute(
                    select(Subscription, Subscriber).join(
                        Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id)
                    )
                )
            ).all()
            counted = (
                await session.execute(
                    select(col(Delivery.subscription_id), col(CohortItem.article_id))
                    .join(CohortItem, col(CohortItem.cohort_id) == col(Delivery.cohort_id))
                    .where(
                        col(Delivery.state) == DeliveryState.SENT,
                        col(CohortItem.outcome) == ItemOutcome.AND_MORE,
                    )
                )
            ).all()
            open_rows = await session.execute(
                select(col(Delivery.id)).where(col(Delivery.state) == DeliveryState.CLAIMED)
            )
            assert open_rows.first() is None
        more = {(subscription, article) for subscription, article in counted}
        newest = len(self.articles)
        for subscription, subscriber in people:
            if subscription.state is SubscriptionState.ACTIVE:
                assert subscription.cursor == newest, "a window was never settled"
            for article in articles:
                told = mailed[subscriber.address, int(article.source_key)]
                told += (subscription.id, article.id) in more
                chosen = self.settled[subscription.id].get(article.seq)
                is_theirs = chosen is not None and (
                    not chosen or not set(chosen).isdisjoint(article.topics)
                )
                if not article.announce or not is_theirs:
                    assert told == 0 or chosen is None, "an article that was not theirs"
                elif article.state is ArticleState.PUBLISHED:
                    assert told == 1, f"article {article.source_key} was dropped or repeated"


@pytest.fixture
def run(database_url: str, tmp_path: Path) -> Iterator[Callable[[list[tuple[object, ...]]], None]]:
    """Run steps in a world of their own, on one application for all examples."""
    loop = asyncio.new_event_loop()
    stack = AsyncExitStack()

    async def open_world() -> World:
        await drop_tables(database_url)
        config = tmp_path / "config.toml"
        config.write_text(CONFIG.format(database=database_url), encoding="utf-8")
        loaded = load_settings(config, {}, tmp_path)
        relay, holder = ScriptedRelay(), []
        app = await stack.enter_async_context(
            App.open(loaded, clock=lambda: holder[0].now if holder else START, relay=relay)
        )
        holder.append(World(app, relay))
        await stack.enter_async_context(app.sending())
        return holder[0]

    world = loop.run_until_complete(open_world())

    async def example(steps: list[tuple[object, ...]]) -> None:
        await world.begin()
        for step in steps:
            await world.do(step)
        everyone = [Verdict.ACCEPTED] * PEOPLE
        world.now += timedelta(days=3)  # what was deferred has expired or is taken over
        await world.retry(everyone)
        await world.send(everyone)
        await world.send(everyone)
        await world.check()

    yield lambda steps: loop.run_until_complete(example(steps))
    loop.run_until_complete(stack.aclose())
    loop.close()


_SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=12, deadline=None, suppress_health_check=_SLOW)
@given(steps=steps)
def test_every_article_reaches_every_reader_once_or_has_a_reason(
    run: Callable[[list[tuple[object, ...]]], None], steps: list[tuple[object, ...]]
) -> None:
    run(steps)


@pytest.mark.fault
@settings(max_examples=60, deadline=None, suppress_health_check=_SLOW)
@given(steps=steps)
def test_so_it_does_over_many_more_histories(
    run: Callable[[list[tuple[object, ...]]], None], steps: list[tuple[object, ...]]
) -> None:
    run(steps)
