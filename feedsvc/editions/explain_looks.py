"""The editions that had an article to decide about for one reader. Reads only.

Where they got a mail, its row says so. Where they got none, only the group that they were of is
kept, so their cursor is followed from the last point that is known through the groups of one wave
after the other.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.calendar import local_due_at
from feedsvc.editions.explain_history import History
from feedsvc.editions.wall_clock import find_zone
from feedsvc.editions.why.facts import Look, Mail, Told
from feedsvc.kit.reply_text import hide_addresses
from feedsvc.model.article import Article
from feedsvc.model.delivery import HAS_OPEN_WINDOW, Delivery, DeliveryState
from feedsvc.model.edition import (
    OPEN_EDITIONS,
    Cohort,
    CohortItem,
    Curation,
    Edition,
    EditionKind,
    EditionState,
    GroupOutcome,
    ItemOutcome,
    ReaderGroupRow,
    Wave,
)
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import Subscription

#: Mails after which a window is closed.
_CLOSING = (DeliveryState.SENT, DeliveryState.HELD)
_SHOWN = (ItemOutcome.MAILED, ItemOutcome.AND_MORE)
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
#: Editions without a word about this reader that are looked at; the newest tell.
_MOST = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is asked about, and what."""

    article: Article
    subscription: Subscription
    newsletter: Newsletter
    schedule: Schedule
    #: In which their editions are due.
    zone: str
    history: History

    @property
    def seq(self) -> int:
        """The article's number; 0 for one that has never been published."""
        return self.article.seq or 0


async def load_looks(session: AsyncSession, asked: Asked) -> list[Look]:
    """Every edition that decided about the article for this reader, or will; by their ids."""
    found, points = await _load_mails(session, asked)
    if asked.article.seq is not None:
        for group in await _load_groups(session, asked, points):
            found.setdefault(group.edition_id, group)
        settled = asked.seq <= (asked.subscription.cursor or 0)
        for other in await _load_others(session, asked):
            # What is decided is not decided by what did not go, unless it took the articles along.
            if other.drops_articles or not settled:
                found.setdefault(other.edition_id, other)
    return [await _with_instead(session, asked, found[edition_id]) for edition_id in sorted(found)]


async def load_under_way(session: AsyncSession, subscription_id: int) -> int | None:
    """The edition of the one mail to somebody that moves their cursor and has not ended."""
    return await session.scalar(
        select(col(Delivery.edition_id)).where(
            col(Delivery.subscription_id) == subscription_id, HAS_OPEN_WINDOW
        )
    )


async def _load_mails(session: AsyncSession, asked: Asked) -> tuple[dict[int, Look], list[int]]:
    """Mails to them that showed the article, or whose window held it; and where they stood."""
    rows = await session.execute(
        select(Delivery, Edition, col(CohortItem.outcome))
        .join(Edition, col(Edition.id) == col(Delivery.edition_id))
        .outerjoin(
            CohortItem,
            (col(CohortItem.cohort_id) == col(Delivery.cohort_id))
            & (col(CohortItem.article_id) == asked.article.id),
        )
        .where(
            col(Delivery.subscriber_id) == asked.subscription.subscriber_id,
            col(Delivery.subscription_id) == asked.subscription.id,
        )
        .order_by(col(Delivery.id))
    )
    waves = await _load_waves(session, asked)
    found, points = {}, []
    for delivery, edition, outcome in rows.all():
        if delivery.from_seq is not None:
            points.append(delivery.from_seq)
            if delivery.state in _CLOSING:
                points.append(delivery.cut_seq or 0)
        covered = (delivery.from_seq or 0) < asked.seq <= (delivery.cut_seq or 0)
        if outcome is not None or covered:
            look = _look(asked, edition, waves.get(edition.id or 0))
            found[look.edition_id] = replace(
                look,
                mail=_mail(delivery),
                outcome=outcome,
                topics=asked.history.at(look.composed_at or edition.created_at).topics,
            )
    return found, points


async def _load_waves(session: AsyncSession, asked: Asked) -> dict[int, Wave]:
    """Edition -> the wave of the reader's zone, of those in which they have a mail."""
    rows = await session.execute(
        select(Wave)
        .join(Delivery, col(Delivery.edition_id) == col(Wave.edition_id))
        .where(
            col(Delivery.subscriber_id) == asked.subscription.subscriber_id,
            col(Delivery.subscription_id) == asked.subscription.id,
        )
        .order_by(col(Wave.id))
    )
    return _choose_waves(rows.scalars(), asked)


def _choose_waves(waves: Iterable[Wave], asked: Asked) -> dict[int, Wave]:
    chosen: dict[int, Wave] = {}
    for wave in waves:
        if wave.edition_id not in chosen or wave.zone == asked.zone:
            chosen[wave.edition_id] = wave
    return chosen


async def _load_groups(session: AsyncSession, asked: Asked, points: list[int]) -> list[Look]:
    """What editions without a mail to them came to, as their group says it."""
    beginnings = [cursor for _, cursor in asked.history.beginnings]
    jumps = [jump.to_seq for jump in asked.history.jumps]
    known = [*points, *beginnings, *jumps, asked.subscription.cursor or 0]
    start = max((point for point in known if point < asked.seq), default=0)
    rows = await session.execute(
        select(ReaderGroupRow, Wave, Edition, col(Schedule.key))
        .join(Wave, col(Wave.id) == col(ReaderGroupRow.wave_id))
        .join(Edition, col(Edition.id) == col(Wave.edition_id))
        .outerjoin(Schedule, col(Schedule.id) == col(Edition.schedule_id))
        .where(
            col(Edition.newsletter_id) == asked.newsletter.id,
            col(Wave.cut_seq) > start,
            col(ReaderGroupRow.outcome) != GroupOutcome.MAILED,
            col(ReaderGroupRow.from_seq) >= start,
            col(ReaderGroupRow.from_seq) < asked.seq,
        )
        .order_by(col(Edition.id), col(Wave.id), col(ReaderGroupRow.id))
    )
    cursor, found = start, []
    for group, wave, edition, schedule in rows.all():
        if group.from_seq != cursor or not _is_theirs(asked, group, wave, edition, schedule):
            continue
        if asked.seq <= wave.cut_seq:
            found.append(_group_look(asked, edition, wave, group))
        if group.outcome is not GroupOutcome.CARRIED:
            cursor = max(cursor, wave.cut_seq)
    return found


def _is_theirs(
    asked: Asked, group: ReaderGroupRow, wave: Wave, edition: Edition, schedule: str | None
) -> bool:
    """Whether the reader was in a group: by what they had chosen when it was composed."""
    then = asked.history.at(wave.composed_at or edition.created_at)
    if group.language != then.language or tuple(group.topics) != then.topics:
        return False
    if schedule is None:
        return True
    if schedule != then.schedule:
        return False
    return not _has_own_zone(edition) or wave.zone == find_zone(then.zone, asked.schedule.zone).key


def _has_own_zone(edition: Edition) -> bool:
    return edition.open_until is not None


def _group_look(asked: Asked, edition: Edition, wave: Wave, group: ReaderGroupRow) -> Look:
    outcome = group.reasons.get(str(asked.article.id))
    carried = group.carried + (group.outcome is GroupOutcome.CARRIED)
    return replace(
        _look(asked, edition, wave),
        group=group.outcome,
        topics=tuple(group.topics),
        carried=carried,
        outcome=ItemOutcome(outcome) if outcome else None,
    )


async def _load_others(session: AsyncSession, asked: Asked) -> list[Look]:
    """Editions that are open, or did not go, and would hold the article."""
    of_theirs = select(col(Schedule.id)).where(
        col(Schedule.newsletter_id) == asked.newsletter.id,
        col(Schedule.key).in_(asked.history.schedules),
    )
    rows = await session.execute(
        select(Edition, Wave)
        .outerjoin(Wave, col(Wave.edition_id) == col(Edition.id))
        .where(
            col(Edition.newsletter_id) == asked.newsletter.id,
            col(Edition.kind) == EditionKind.DIGEST,
            or_(col(Edition.schedule_id).is_(None), col(Edition.schedule_id).in_(of_theirs)),
            func.coalesce(col(Wave.cut_seq), col(Edition.cut_seq), asked.seq) >= asked.seq,
            col(Edition.created_at) >= (asked.subscription.confirmed_at or _EVER),
            or_(
                col(Edition.state).in_([*OPEN_EDITIONS, EditionState.CANCELLED]),
                (col(Edition.state) == EditionState.SKIPPED) & col(Edition.frozen_at).is_(None),
                col(Wave.missed).is_not(None),
            ),
        )
        .order_by(col(Edition.id).desc(), col(Wave.id))
        .limit(_MOST)
    )
    found: dict[int, tuple[Edition, list[Wave]]] = {}
    for edition, wave in rows.all():
        found.setdefault(edition.id or 0, (edition, []))[1].extend([wave] if wave else [])
    looks = []
    for edition, waves in found.values():
        own = _has_own_zone(edition)
        mine = [one for one in waves if not own or one.zone == asked.zone]
        looks.append(_look(asked, edition, mine[0] if mine else None))
    return looks


def _look(asked: Asked, edition: Edition, wave: Wave | None) -> Look:
    due_at = wave.due_at if wave else edition.due_at or edition.created_at
    if wave is None and _has_own_zone(edition):
        due_at = local_due_at(edition.period, asked.zone, asked.schedule.zone) or due_at
    return Look(
        edition_id=edition.id or 0,
        kind=edition.kind,
        state=edition.state,
        due_at=due_at,
        reason=edition.reason,
        composed_at=wave.composed_at if wave else None,
        missed=wave.missed if wave else None,
        drops_articles="dropped" in edition.counters,
        curated_out=asked.article.id in Curation.of(edition.curation).dropped,
        waiting=wave is not None and wave.waiting > 0,
    )


def _mail(delivery: Delivery) -> Mail:
    return Mail(
        delivery_id=delivery.id or 0,
        state=delivery.state,
        changed_at=delivery.changed_at,
        next_at=delivery.next_at,
        attempt=delivery.attempt,
        reply_code=delivery.reply_code,
        reply_text=hide_addresses(delivery.reply_text) if delivery.reply_text else None,
        reason=hide_addresses(delivery.reason) if delivery.reason else None,
    )


async def _with_instead(session: AsyncSession, asked: Asked, look: Look) -> Look:
    """Of a duplicate, the article of the same story that they got."""
    if look.outcome is not ItemOutcome.DUPLICATE or asked.article.story is None:
        return look
    row: Any = (
        await session.execute(
            select(col(Article.id), col(Article.title), col(Delivery.edition_id))
            .select_from(Delivery)
            .join(Cohort, col(Cohort.id) == col(Delivery.cohort_id))
            .join(CohortItem, col(CohortItem.cohort_id) == col(Cohort.id))
            .join(Article, col(Article.id) == col(CohortItem.article_id))
            .where(
                col(Delivery.subscriber_id) == asked.subscription.subscriber_id,
                col(Delivery.subscription_id) == asked.subscription.id,
                col(Delivery.edition_id) <= look.edition_id,
                col(Article.story) == asked.article.story,
                col(Article.id) != asked.article.id,
                col(CohortItem.outcome).in_(_SHOWN),
            )
            .order_by(col(Delivery.edition_id).desc())
            .limit(1)
        )
    ).first()
    return replace(look, instead=Told(row[0], row[1], row[2])) if row else look
