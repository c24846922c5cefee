"""The part of the walk that follows publishing: document -> hubs -> subscribers. Ordering only.

Rows say who is owed what; a job only says that rows are due. Nothing is sent from within a
transaction, and each step is noted before it is taken and again when it is through.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Collection, Sequence
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.config import Settings
from feedsvc.db.engine import Database
from feedsvc.errors import DatabaseUnavailable, FetchFailed, FetchRefused
from feedsvc.feeds.hub import hosts as hub_hosts
from feedsvc.feeds.hub import owed as hub_owed
from feedsvc.feeds.hub import pings as websub
from feedsvc.feeds.hub import rows as hub_rows
from feedsvc.feeds.hub.delivery import (
    Outcome,
    Step,
    delivery_headers,
    denial_url,
    is_confirmed,
    read_outcome,
    verification_url,
)
from feedsvc.feeds.hub.topics import Topics
from feedsvc.feeds.hub.versions import load_version
from feedsvc.kit.fetch import Fetched, Fetcher, FetchLimits
from feedsvc.kit.jobs import Jobs
from feedsvc.model.feed import ServedDocument
from feedsvc.pipeline.parts import Clock
from feedsvc.pipeline.rounds import Rounds

log = structlog.get_logger(__name__)

#: Requests at a time, and to one host at a time.
CONCURRENCY = 20
PER_HOST = 2
#: Other nodes learn of a new version in this time; who is told may fetch it from any of them.
_OTHERS_NEED = timedelta(seconds=2)
_LIMITS = FetchLimits(total_seconds=15, step_seconds=10, body_bytes=4096)


class Distribution:
    """Tells hubs and the embedded hub's subscribers of new versions. Registers two jobs.

    Args:
        database: where the rows are.
        fetcher: whose allow-list is `websub.private_hosts`.
        jobs: before they run.
        clock: the present.
        settings: base address, feeds, and `websub`.
        stopping: when set, nothing new is begun.
    """

    def __init__(
        self,
        *,
        database: Database,
        fetcher: Fetcher,
        jobs: Jobs,
        clock: Clock,
        settings: Settings,
        stopping: asyncio.Event | None = None,
    ) -> None:
        self._database, self._fetcher, self._jobs, self._clock = database, fetcher, jobs, clock
        self._websub = settings.websub
        self._topics = Topics.of(settings.base_url, settings.feeds)
        stopping = stopping or asyncio.Event()
        self._hub = Rounds(self._claim, self._serve, CONCURRENCY, stopping)
        self._pings = Rounds(self._claim_pings, self._ping, CONCURRENCY, stopping)
        jobs.register("hub", self._hub_job)
        jobs.register("ping", self._ping_job)

    async def start(self) -> None:
        """Note what a process that ended too early left unsaid, and topics that are no more."""
        now = self._clock()
        async with self._database.write() as session:
            if self._websub.embedded:
                await hub_owed.owe_missed(session, self._topics, now)
            await websub.put_missed(session, self._topics, self._websub.hubs, now)

    async def prune(self) -> None:
        """Forget who is to be told no more, also while the hub is switched off."""
        now = self._clock()
        async with self._database.write() as session:
            if not self._websub.embedded:
                await hub_rows.forget_over(session, now)
            await hub_hosts.prune_hosts(session, now)

    async def announce(self, documents: Sequence[ServedDocument]) -> None:
        """Have everybody told of these versions, which are being served. Archive pages are not."""
        etags = {
            document.path: document.etag
            for document in documents
            if self._topics.read_path(document.path) is not None
        }
        if not etags:
            return
        async with self._database.read() as session:
            subscribed = await hub_owed.find_subscribed(session, self._topics, etags)
        if not self._websub.embedded:
            subscribed = {}
        if not subscribed and not self._websub.hubs:
            return
        wait = timedelta(0) if self._database.kind == "sqlite" else _OTHERS_NEED
        at = self._clock() + wait
        async with self._database.write() as session:
            await websub.put_pings(session, self._websub.hubs, etags, at)
            await hub_owed.owe(session, subscribed, at)
            if not wait:
                await self._ask(session, hub=bool(subscribed), ping=bool(self._websub.hubs))

    async def sweep(self) -> None:
        """Ask for jobs where rows are due."""
        now = self._clock()
        async with self._database.read() as session:
            hub_at = await hub_rows.next_due_at(session) if self._websub.embedded else None
            ping_at = await websub.next_ping_at(session) if self._websub.hubs else None
        hub, ping = hub_at is not None and hub_at <= now, ping_at is not None and ping_at <= now
        if hub or ping:
            async with self._database.write() as session:
                await self._ask(session, hub=hub, ping=ping)

    async def _ask(self, session: AsyncSession, *, hub: bool, ping: bool) -> None:
        if hub:
            await self._jobs.put(session, "hub", {}, once="hub")
        if ping:
            await self._jobs.put(session, "ping", {}, once="ping")

    async def _hub_job(self, _payload: dict[str, Any]) -> None:
        await self._hub.work()

    async def _ping_job(self, _payload: dict[str, Any]) -> None:
        await self._pings.work()

    # -- the embedded hub ------------------------------------------------------------------------

    async def _claim(self, free: int, busy: Collection[str]) -> list[hub_rows.Claim]:
        async with self._database.write() as session:
            return await hub_rows.claim_due(
                session, self._topics, self._clock(), free, busy, PER_HOST
            )

    async def _serve(self, claim: hub_rows.Claim) -> None:
        match claim.step:
            case Step.VERIFY:
                await self._verify(claim)
            case Step.DELIVER:
                await self._deliver(claim)
            case _:
                await self._deny(claim)

    async def _verify(self, claim: hub_rows.Claim) -> None:
        """Ask a callback whether it meant what was asked in its name."""
        asked_at, challenge = self._clock(), secrets.token_urlsafe(32)
        asked: set[str] = set()

        async def admit(host: str, addresses: Sequence[str]) -> None:
            async with self._database.write() as session:
                if not await hub_hosts.count_question(session, host, addresses, asked_at):
                    raise FetchRefused("this host was asked often enough in vain; later")
            asked.update([host, *addresses])

        url = verification_url(
            claim.callback,
            claim.asked_mode or "",
            self._topics.url_of(claim.path),
            challenge,
            claim.asked_lease_seconds,
        )
        fetched = await _try(self._fetcher.request("GET", url, limits=_LIMITS, admit=admit))
        if isinstance(fetched, Outcome):
            confirmed, reply = False, f"not confirmed: {fetched.reply}"
        else:
            confirmed = is_confirmed(fetched.status, fetched.body, challenge)
            reply = "confirmed" if confirmed else f"not confirmed: answered {fetched.status}"
        async with self._database.write() as session:
            if confirmed:
                await hub_hosts.forgive_question(session, asked)
            await hub_hosts.prune_hosts(session, asked_at)
            await hub_rows.settle_verification(session, claim, confirmed, reply, asked_at)
        log.info("hub asked", subscription=claim.id, mode=claim.asked_mode, reply=reply)

    async def _deliver(self, claim: hub_rows.Claim) -> None:
        """Send a subscriber the newest version of its topic."""
        assert claim.topic is not None
        async with self._database.read() as session:
            document = await load_version(session, claim.topic)
        if document is None:
            return  # it went this moment; the claim comes back and finds no topic
        if document.etag == claim.delivered:
            outcome = Outcome(ok=True, reply="has this version already")
        else:
            headers = delivery_headers(
                document.media_type,
                self._topics.hub_url,
                self._topics.present_url(claim.topic),
                document.body,
                claim.secret,
            )
            outcome = await self._post(claim.callback, document.body, headers)
        async with self._database.write() as session:
            await hub_rows.settle_delivery(session, claim, document.etag, outcome, self._clock())
        log.info(
            "hub delivered" if outcome.ok else "hub not delivered",
            subscription=claim.id,
            topic=claim.path,
            reply=outcome.reply,
        )

    async def _deny(self, claim: hub_rows.Claim) -> None:
        """Tell a subscriber that its topic is no more. Whatever it says to that, it is over."""
        async with self._database.write() as session:
            await hub_rows.end_subscription(
                session, claim.id, "the topic is no more", self._clock()
            )
        url = denial_url(claim.callback, self._topics.url_of(claim.path))
        await _try(self._fetcher.request("GET", url, wants_body=False, limits=_LIMITS))
        log.info("hub denied", subscription=claim.id, topic=claim.path)

    # -- hubs elsewhere --------------------------------------------------------------------------

    async def _claim_pings(self, free: int, busy: Collection[str]) -> list[websub.Ping]:
        async with self._database.write() as session:
            return await websub.claim_pings(
                session, self._websub.hubs, self._clock(), free, busy, PER_HOST
            )

    async def _ping(self, ping: websub.Ping) -> None:
        outcome = await self._post(
            ping.hub,
            websub.ping_body(self._topics.url_of(ping.topic)),
            {"Content-Type": "application/x-www-form-urlencoded"},
            is_hub=ping.host,
        )
        async with self._database.write() as session:
            await websub.settle_ping(session, ping, outcome, self._clock())
        log.info("hub told", hub=ping.hub, topic=ping.topic, reply=outcome.reply)

    async def _post(
        self, url: str, body: bytes, headers: dict[str, str], is_hub: str | None = None
    ) -> Outcome:
        """Post, and say what came of it. A hub is the operator's choice: it may be private."""
        fetched = await _try(
            self._fetcher.request(
                "POST",
                url,
                headers=headers,
                body=body,
                wants_body=False,
                follow_redirects=is_hub is not None,
                also_allow=[is_hub] if is_hub else (),
                limits=_LIMITS,
            )
        )
        if isinstance(fetched, Outcome):
            return fetched
        return read_outcome(fetched.status, fetched.headers.get("retry-after"), self._clock())


async def _try(request: Awaitable[Fetched]) -> Fetched | Outcome:
    """The answer; or, where there was none, what came of it. What is not known is temporary."""
    try:
        return await request
    except (FetchFailed, FetchRefused) as error:
        return Outcome(ok=False, reply=str(error), refused=error.permanent)
    except DatabaseUnavailable:
        raise
    except Exception as fault:
        log.exception("request failed")
        return Outcome(ok=False, reply=f"{type(fault).__name__}: {fault}")
