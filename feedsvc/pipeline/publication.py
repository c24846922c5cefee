"""The part of the walk that readers follow: article -> feed documents. Ordering only."""

import asyncio
from datetime import datetime, timedelta

import structlog

from feedsvc.articles import changed, publish
from feedsvc.errors import DatabaseUnavailable
from feedsvc.feeds.documents import (
    FeedSpec,
    load_basis,
    render_documents,
    save_set_aside,
    store_documents,
)
from feedsvc.feeds.fragments import FragmentCache
from feedsvc.feeds.select import select_articles
from feedsvc.model.feed import ServedDocument
from feedsvc.pipeline.parts import Parts

log = structlog.get_logger(__name__)

#: How long a feed that could not be published is left alone.
_FEED_REST = timedelta(seconds=30)


class Publication:
    """Gives articles their numbers, and renews the feeds that hold them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._fragments = FragmentCache()
        self._publishing = asyncio.Lock()
        self._published_at: datetime | None = None
        self._rest_until: datetime | None = None

    async def is_wanted(self, now: datetime) -> bool:
        """Whether an article's time has come, or a feed is behind the articles."""
        async with self._parts.database.read() as session:
            article_at = await publish.next_publication_at(session)
            basis = await load_basis(session)
            behind = basis is not None and basis < await changed.load_change(session)
        rested = self._rest_until is None or self._rest_until <= now
        return (article_at is not None and article_at <= now) or (behind and rested)

    async def publish(self) -> list[ServedDocument]:
        """Publish every article whose time has come, then renew the feeds; changed documents."""
        async with self._publishing:
            while True:
                async with self._parts.database.write() as session:
                    published = await publish.publish_due(session, self._parts.clock())
                    if published:
                        await changed.mark_changed(session)
                if len(published) < publish.MAX_BATCH:
                    break
            await self._wait_for_next_second()
            renewed = []
            for spec in self._parts.feeds:
                try:
                    renewed += await self._publish_feed(spec)
                except DatabaseUnavailable:
                    raise
                except Exception as error:
                    # One feed that fails must not hold up the others; the sweep comes back to it.
                    fault = f"{type(error).__name__}: {error}"
                    log.error("feed not published", feed=spec.key, fault=fault)
                    self._rest_until = self._parts.clock() + _FEED_REST
            return renewed

    async def _publish_feed(self, spec: FeedSpec) -> list[ServedDocument]:
        database = self._parts.database
        async with database.read() as session:
            basis = await changed.load_change(session)
            articles = await select_articles(session, spec.selection, spec.window)
        rendered = await asyncio.to_thread(render_documents, spec, articles, self._fragments)
        async with database.write() as session:
            await save_set_aside(session, articles, rendered.set_aside)
            renewed = await store_documents(session, spec.key, rendered, self._parts.clock(), basis)
        if renewed:
            self._parts.serve(renewed)
        return renewed

    async def _wait_for_next_second(self) -> None:
        """A feed is published at most once a second, so that its date is never in the future."""
        if self._published_at is not None:
            wait = self._published_at + timedelta(seconds=1) - self._parts.clock()
            if timedelta(0) < wait <= timedelta(seconds=1):
                await asyncio.sleep(wait.total_seconds())
        self._published_at = self._parts.clock()
