"""Newsletters and schedules as rows: they follow the configuration by key."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.config import NewsletterSettings, Settings
from feedsvc.config_values import split_mailbox
from feedsvc.errors import NotFound
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import Subscription, SubscriptionState


@dataclass(frozen=True, slots=True)
class NewsletterRow:
    """A newsletter with its schedules, in the order of their keys."""

    newsletter: Newsletter
    schedules: tuple[Schedule, ...]


async def sync_newsletters(session: AsyncSession, settings: Settings, now: datetime) -> None:
    """Bring the rows in line with the configuration. What vanished there is retired, not deleted.

    A schedule whose cron or zone changed begins anew: no period before `now` comes due by it.
    """
    known = {row.key: row for row in (await session.execute(select(Newsletter))).scalars().all()}
    for key, configured in settings.newsletters.items():
        row = known.pop(key, None)
        values = _newsletter_values(configured, settings)
        if row is None:
            row = Newsletter(key=key, **values)
            session.add(row)
        else:
            _apply(row, values)
        await session.flush()
        await _sync_schedules(session, row, configured, settings, now)
    for row in known.values():
        row.retired = True
    await session.flush()


async def _sync_schedules(
    session: AsyncSession,
    newsletter: Newsletter,
    configured: NewsletterSettings,
    settings: Settings,
    now: datetime,
) -> None:
    rows = await session.execute(
        select(Schedule).where(col(Schedule.newsletter_id) == newsletter.id)
    )
    known = {row.key: row for row in rows.scalars().all()}
    for key, one in configured.schedules.items():
        zone = one.time_zone or settings.time_zone
        row = known.pop(key, None)
        if row is None:
            session.add(
                Schedule(
                    newsletter_id=newsletter.id or 0,
                    key=key,
                    label=one.label,
                    cron=one.cron,
                    zone=zone,
                    since=now,
                )
            )
            continue
        if (row.cron, row.zone) != (one.cron, zone) or row.retired:
            row.since = now
        _apply(row, {"label": one.label, "cron": one.cron, "zone": zone, "retired": False})
    for row in known.values():
        row.retired = True


def _newsletter_values(configured: NewsletterSettings, settings: Settings) -> dict[str, Any]:
    name, address = split_mailbox(configured.from_)
    return {
        "title": configured.title,
        "description": configured.description,
        "language": configured.language or settings.language,
        "theme": configured.theme,
        "from_name": name,
        "from_address": address,
        "sender": configured.sender,
        "postal_address": configured.postal_address,
        "selection": {
            "sources": sorted(configured.sources),
            "sections": sorted(configured.sections),
            "topics": sorted(configured.topics),
            "languages": sorted(configured.languages),
        },
        "max_items": configured.max_items,
        "public": configured.public,
        "retired": False,
    }


def _apply(row: object, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if getattr(row, name) != value:
            setattr(row, name, value)


async def count_stranded(session: AsyncSession) -> dict[str, int]:
    """Active subscriptions whose schedule is not configured any more: "newsletter.schedule" -> n.

    Nothing is mailed to them. A schedule that was renamed in the configuration is a new one.
    """
    rows = await session.execute(
        select(col(Newsletter.key), col(Schedule.key), func.count())
        .select_from(Subscription)
        .join(Schedule, col(Schedule.id) == col(Subscription.schedule_id))
        .join(Newsletter, col(Newsletter.id) == col(Subscription.newsletter_id))
        .where(
            col(Subscription.state) == SubscriptionState.ACTIVE,
            col(Schedule.retired).is_(True),
            col(Newsletter.retired).is_(False),
        )
        .group_by(col(Newsletter.key), col(Schedule.key))
    )
    return {f"{newsletter}.{schedule}": count for newsletter, schedule, count in rows.all()}


async def load_newsletters(session: AsyncSession) -> list[NewsletterRow]:
    """All newsletters in use with their schedules in use, by key."""
    newsletters = (
        await session.execute(
            select(Newsletter).where(col(Newsletter.retired).is_(False)).order_by(Newsletter.key)
        )
    ).scalars()
    schedules = (
        await session.execute(
            select(Schedule).where(col(Schedule.retired).is_(False)).order_by(Schedule.key)
        )
    ).scalars()
    by_newsletter: dict[int, list[Schedule]] = {}
    for schedule in schedules:
        by_newsletter.setdefault(schedule.newsletter_id, []).append(schedule)
    return [NewsletterRow(one, tuple(by_newsletter.get(one.id or 0, []))) for one in newsletters]


async def find_newsletter(session: AsyncSession, key: str) -> NewsletterRow:
    """One newsletter in use by its key. Raises NotFound, naming those there are."""
    rows = await load_newsletters(session)
    for row in rows:
        if row.newsletter.key == key:
            return row
    names = ", ".join(row.newsletter.key for row in rows) or "none is configured"
    raise NotFound(f"no newsletter is named {key!r} (there are: {names})")
