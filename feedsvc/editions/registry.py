"""Newsletters and schedules as rows: they follow the configuration by key."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.config import Settings
from feedsvc.config_newsletters import SUBSCRIBERS_ZONE, NewsletterSettings, ScheduleSettings
from feedsvc.config_values import split_mailbox
from feedsvc.errors import NotFound
from feedsvc.kit.filters import parse_filter
from feedsvc.model.article import Counter
from feedsvc.model.newsletter import (
    Arrangement,
    CatchUp,
    ItemOrder,
    Newsletter,
    OnWithdrawal,
    Review,
    Schedule,
    Unapproved,
)
from feedsvc.model.subscriber import Subscription, SubscriptionState

#: What makes a schedule another one: its periods begin anew.
_RHYTHM = ("cron", "zone", "own_zone")


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
    newest = await session.scalar(select(col(Counter.value)).where(col(Counter.name) == "seq"))
    for key, one in configured.schedules.items():
        values = _schedule_values(one, configured, settings)
        row = known.pop(key, None)
        if row is None:
            session.add(
                Schedule(
                    newsletter_id=newsletter.id or 0,
                    key=key,
                    since=now,
                    since_seq=newest or 0,
                    **values,
                )
            )
            continue
        if row.retired or any(getattr(row, name) != values[name] for name in _RHYTHM):
            row.since, row.since_seq = now, newest or 0
        _apply(row, values)
    for row in known.values():
        row.retired = True


def _schedule_values(
    one: ScheduleSettings, newsletter: NewsletterSettings, settings: Settings
) -> dict[str, Any]:
    own_zone = one.time_zone == SUBSCRIBERS_ZONE
    settle = one.settle_minutes or 10
    return {
        "label": one.label,
        "description": one.description,
        "cron": one.cron or "",
        "zone": settings.time_zone if own_zone else one.time_zone or settings.time_zone,
        "own_zone": own_zone,
        "settle_minutes": settle,
        "settle_max_minutes": one.settle_max_minutes or 6 * settle,
        "catch_up": CatchUp(one.catch_up),
        "grace_minutes": one.grace_minutes,
        "spread_minutes": one.spread_minutes,
        "quiet_days": list(one.quiet_days),
        "max_items": one.max_items or newsletter.max_items,
        "min_items": one.min_items or newsletter.min_items,
        "retired": False,
    }


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
        "filter": _stored_filter(configured.filter, settings),
        "max_items": configured.max_items,
        "min_items": configured.min_items,
        "carry_max": configured.carry_max,
        "arrangement": Arrangement(
            order=ItemOrder(configured.order),
            by_section=configured.by_section,
            sections=tuple(configured.section_order),
            lead=configured.lead,
            subject=configured.subject or "",
            preheader=configured.preheader or "",
        ).stored(),
        "review": Review(configured.review),
        "review_minutes": configured.review_minutes,
        "unapproved": Unapproved(configured.unapproved),
        "on_withdrawal": OnWithdrawal(configured.on_withdrawal),
        "welcome_items": configured.welcome_items,
        "archive": configured.archive,
        "public": configured.public,
        "retired": False,
    }


def _stored_filter(text: str | None, settings: Settings) -> str:
    """The condition in the form that means the same in every zone."""
    return str(parse_filter(text or "", ZoneInfo(settings.time_zone)))


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
