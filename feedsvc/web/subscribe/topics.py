"""The topics that forms offer. Counted now and then: they change with the articles of months."""

from datetime import datetime, timedelta
from typing import cast

from fastapi import Request
from sqlalchemy import select
from sqlmodel import col

from feedsvc.audience.offers import load_topics
from feedsvc.model.newsletter import Newsletter
from feedsvc.web.services import WebServices, services_of

#: How long what was counted is good.
_LASTS = timedelta(seconds=30)


class TopicsOnOffer:
    """Remembers the topics of each newsletter of an application."""

    def __init__(self) -> None:
        self._counted: dict[str, tuple[datetime, list[str]]] = {}

    async def load(self, services: WebServices, newsletter_key: str) -> list[str]:
        """The topics a newsletter offers, in alphabetical order; none if there is no such one."""
        now = services.clock()
        counted_at, topics = self._counted.get(newsletter_key, (None, []))
        if counted_at is None or not counted_at <= now < counted_at + _LASTS:
            topics = await _count(services, newsletter_key, now)
            self._counted[newsletter_key] = (now, topics)
        return topics


async def topics_on_offer(request: Request, newsletter_key: str) -> list[str]:
    """The topics a newsletter offers, which the configuration has."""
    counted = cast(TopicsOnOffer, request.app.state.topics)
    return await counted.load(services_of(request), newsletter_key)


async def _count(services: WebServices, newsletter_key: str, now: datetime) -> list[str]:
    async with services.database.read() as session:
        query = select(Newsletter).where(col(Newsletter.key) == newsletter_key)
        newsletter = (await session.execute(query)).scalar_one_or_none()
        return [] if newsletter is None else sorted(await load_topics(session, newsletter, now))
