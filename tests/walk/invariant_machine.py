"""Whatever may happen to a newsletter, as rules that hypothesis puts in any order."""

import asyncio
from contextlib import nullcontext, suppress
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    invariant,
    rule,
)
from invariant_desk import (
    _STUCK_SECONDS,
    NEWSLETTERS,
    newsletters,
    which,
)
from invariant_rows import check_rows, read_rows
from invariant_time import Time
from invariant_world import START
from sqlalchemy import select
from sqlmodel import col

from feedsvc.deliveries.doubts import Settling
from feedsvc.deliveries.settle import find_doubtful, settle_doubts
from feedsvc.editions import review
from feedsvc.editions.control import cancel_edition, pause_edition, resume_edition
from feedsvc.editions.explain import load_facts
from feedsvc.editions.fire import fire_by_hand
from feedsvc.editions.registry import find_newsletter
from feedsvc.editions.retry import retry_failed
from feedsvc.editions.why import Fate, explain
from feedsvc.errors import NotFound
from feedsvc.model.article import Article
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.edition import OPEN_EDITIONS, Edition, EditionState
from feedsvc.model.newsletter import Newsletter
from feedsvc.model.subscriber import Subscriber


class Newsroom(Time):
    """What operators do with editions; and what must hold at the end."""

    async def _editions(self, *states: EditionState) -> list[Edition]:
        async with self.world.app.database.read() as session:
            rows = await session.execute(
                select(Edition).where(col(Edition.state).in_(states)).order_by(col(Edition.id))
            )
            return list(rows.scalars())

    def _edition(self, which: int, *states: EditionState) -> int | None:
        found = self.run(self._editions(*states))
        return found[-1 - which % len(found)].id if found else None

    @rule(newsletter=newsletters, sends=st.booleans())
    def send_by_hand(self, newsletter: str, sends: bool) -> None:
        async def work(session: Any) -> int:
            row = (await find_newsletter(session, newsletter)).newsletter
            return await fire_by_hand(session, row, self.world.now)

        edition_id = self.run(self._change(work))
        self.say(f"edition {edition_id} of {newsletter}, by hand")
        if sends:
            self.run(self._live())

    @rule(which=which)
    def approve(self, which: int) -> None:
        if edition_id := self._edition(which, EditionState.DRAFT):
            self.say(f"edition {edition_id} is approved")
            self.run(self._change(lambda s: review.approve(s, edition_id, "me", self.world.now)))

    @rule(which=which, article=which, for_good=st.booleans())
    def drop_article(self, which: int, article: int, for_good: bool) -> None:
        one, edition_id = self._article(article), self._edition(which, EditionState.DRAFT)
        if one is None or not edition_id:
            return

        async def work(session: Any) -> str:
            await review.drop_article(
                session, edition_id, one.id, "me", self.world.now, for_good=for_good
            )
            edition = await session.get_one(Edition, edition_id)
            return str((await session.get_one(Newsletter, edition.newsletter_id)).key)

        try:
            newsletter = self.loop.run_until_complete(self._change(work))
        except NotFound:
            return  # the draft does not hold it
        if for_good:
            self.account.kept_out[newsletter].add(one.number)
        self.say(f"article {one.number} is out of edition {edition_id}, for good: {for_good}")

    @rule(which=which, how=st.sampled_from(["skip", "refresh"]))
    def skip_or_refresh(self, which: int, how: str) -> None:
        if edition_id := self._edition(which, EditionState.DRAFT):
            self.say(f"draft {edition_id}: {how}")
            if how == "skip":
                self.run(self._change(lambda s: review.skip_draft(s, edition_id, self.world.now)))
            else:
                self.run(self._change(lambda s: review.refresh(s, edition_id)))

    @rule(which=which, goes_on=st.booleans())
    def stop_or_go_on(self, which: int, goes_on: bool) -> None:
        states = (EditionState.PAUSED,) if goes_on else (EditionState.FROZEN, EditionState.SENDING)
        if edition_id := self._edition(which, *states):
            self.say(f"edition {edition_id} {'goes on' if goes_on else 'is stopped'}")
            if goes_on:
                self.run(self._change(lambda s: resume_edition(s, edition_id)))
            else:
                self.run(self._change(lambda s: pause_edition(s, edition_id, "?", self.world.now)))

    @rule(which=which, drop=st.booleans())
    def cancel(self, which: int, drop: bool) -> None:
        states = (*OPEN_EDITIONS, EditionState.CANCELLED) if drop else OPEN_EDITIONS
        if edition_id := self._edition(which, *states):
            self.say(f"edition {edition_id} is given up{', with its articles' if drop else ''}")
            self.run(self._change(lambda s: cancel_edition(s, edition_id, drop=drop)))
            if drop:
                self.account.given_up.add(edition_id)

    @rule(which=which, uncertain=st.booleans())
    def retry(self, which: int, uncertain: bool) -> None:
        states = (EditionState.SENDING, EditionState.DONE)
        if edition_id := self._edition(which, *states):
            retried = self.run(
                self._change(
                    lambda s: retry_failed(
                        s, edition_id, self.world.now, timedelta(days=1), uncertain=uncertain
                    )
                )
            )
            self.say(f"edition {edition_id} once more, uncertain too: {uncertain}: {retried}")

    @rule(which=which, how=st.sampled_from(Settling))
    def settle(self, which: int, how: Settling) -> None:
        async def work(session: Any) -> Any:
            found = await find_doubtful(session, how)
            if not found:
                return None
            chosen = found[which % len(found)]
            row = await session.get_one(Delivery, chosen)
            if row.subscription_id is not None and row.state is DeliveryState.HELD:
                self.account.may_go_back.add(row.subscription_id)
            return chosen, await settle_doubts(
                session, how, [chosen], self.world.now,
                digests_expire_after=timedelta(days=1), notices_expire_after=timedelta(days=1),
            )  # fmt: skip

        done = self.run(self._change(work))
        if done is not None:
            self.say(f"mail {done[0]}, in doubt: {how}: {done[1]}")
            self.run(self._look())

    # -- what holds ------------------------------------------------------------------------------

    @invariant()
    def rows_are_in_order(self) -> None:
        if self.is_open and not self.is_broken:
            self.run(self._check_rows())

    async def _check_rows(self) -> None:
        async with self.world.app.database.read() as session:
            await check_rows(session)

    def teardown(self) -> None:
        if not self.is_open:
            return
        try:
            if not self.is_broken:
                self.run(self._end())
        finally:
            with suppress(TimeoutError) if self.is_broken else nullcontext():
                ending = asyncio.wait_for(self.world.close(), _STUCK_SECONDS)
                self.loop.run_until_complete(ending)

    async def _end(self) -> None:
        """Everybody gets editions enough for every window to be settled."""
        self.say("the end")
        self.world.relay.told.clear()
        self.world.now = max(self.world.now, START) + timedelta(days=4)
        await self._live()
        for _ in range(2):
            for key in NEWSLETTERS:
                await self._change(lambda s, key=key: self._fire(s, key))
            await self._live()
        async with self.world.app.database.read() as session:
            seen = await read_rows(self.world.app, session, self.account)
        self.account.check_whole(seen.newest)
        await self._check_answers()

    async def _fire(self, session: Any, key: str) -> int:
        row = (await find_newsletter(session, key)).newsletter
        return await fire_by_hand(session, row, self.world.now)

    async def _check_answers(self) -> None:
        """Whoever asks why somebody did not get an article hears why."""
        async with self.world.app.database.read() as session:
            articles = (await session.execute(select(Article))).scalars().all()
            ids = dict((await session.execute(select(Subscriber.address, Subscriber.id))).all())
            for one in self.account.consents.values():
                person = ids[f"reader{one.person}@example.com"]
                for article in articles:
                    facts = await load_facts(
                        session, article, person, self.world.now, one.newsletter
                    )
                    answer = explain(facts[0])
                    assert answer.outcome is not Fate.UNKNOWN, (
                        f"article {article.title} and {one}: {answer.sentence}"
                    )
