"""Letters of the operator: announcements, and corrections to those who got an article.

Made as an edition with a letter; composed in chunks that no worker sees before all are written. A
crash anywhere leaves nothing to send, and composing goes on where it stopped: whoever has a
delivery in the edition is not written again. No cursor moves, and nobody's digest waits.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    CursorResult,
    DateTime,
    Select,
    func,
    literal,
    not_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.cohort_store import RenderedCohort, store_cohort
from feedsvc.editions.cohorts import CohortPlan
from feedsvc.editions.recipients import Addressees, Counts, Recipients, count_recipients
from feedsvc.model.article import Article
from feedsvc.model.columns import stored_enum
from feedsvc.model.delivery import PRIORITY_DIGEST, Delivery, DeliveryState
from feedsvc.model.edition import Cohort, Edition, EditionState, Letter, Wave
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import Subscriber, Subscription

#: Recipients written in one transaction.
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a letter is composed."""

    #: All its recipients have their mail.
    is_complete: bool
    counts: Counts = field(default_factory=Counts)


@dataclass(frozen=True, slots=True)
class LetterPlan:
    """A letter being composed, with all that this needs."""

    edition: Edition
    wave: Wave
    newsletter: Newsletter
    letter: Letter
    article: Article | None

    @property
    def edition_id(self) -> int:
        """The id of its edition."""
        return self.edition.id or 0

    @property
    def recipients(self) -> Recipients:
        """Whom it is for."""
        letter = self.letter
        meant = Addressees.of(letter.audience)
        return Recipients(self.edition.newsletter_id, meant, letter.article_id)


async def load_letter(session: AsyncSession, edition_id: int, now: datetime) -> LetterPlan | None:
    """A letter that is to be composed now; None when there is nothing to do for it."""
    row = (
        await session.execute(
            select(Edition, Wave, Newsletter, Letter, Article)
            .join(Wave, col(Wave.edition_id) == col(Edition.id))
            .join(Newsletter, col(Newsletter.id) == col(Edition.newsletter_id))
            .join(Letter, col(Letter.edition_id) == col(Edition.id))
            .outerjoin(Article, col(Article.id) == col(Letter.article_id))
            .where(
                col(Edition.id) == edition_id,
                col(Edition.state) == EditionState.COMPOSING,
                col(Wave.due_at) <= now,
            )
        )
    ).first()
    return LetterPlan(*row) if row is not None else None


async def load_languages(session: AsyncSession, plan: LetterPlan) -> list[str]:
    """Languages of recipients who have no mail yet."""
    rows = await session.execute(
        _lacking(session, plan, col(Subscription.language))
        .distinct()
        .order_by(col(Subscription.language))
    )
    return [row[0] for row in rows.all()]


def letter_key(plan: LetterPlan, language: str) -> str:
    """Content key of a letter's mail in a language; what was written does not change any more."""
    return hashlib.sha256(f"letter|{language}|{plan.newsletter.theme}".encode()).hexdigest()


async def store_letter(
    session: AsyncSession, plan: LetterPlan, language: str, rendered: RenderedCohort
) -> None:
    """Keep the letter as it is mailed in a language; once, whoever is second adds nothing."""
    cohort = CohortPlan(letter_key(plan, language), language, ())
    await store_cohort(session, plan.edition_id, cohort, plan.newsletter.theme, rendered)


async def next_recipients(
    session: AsyncSession, plan: LetterPlan, after_id: int, limit: int = CHUNK
) -> list[int]:
    """The next subscriptions that lack their mail, in order.

    Not for a write transaction: where few are meant, all are looked at.
    """
    rows = await session.execute(
        _lacking(session, plan, col(Subscription.id))
        .where(col(Subscription.id) > after_id)
        .order_by(col(Subscription.id))
        .limit(limit)
    )
    return [row[0] for row in rows.all()]


async def write_chunk(
    session: AsyncSession,
    plan: LetterPlan,
    ids: Sequence[int],
    now: datetime,
    expires_after: timedelta,
) -> None:
    """Write the deliveries of recipients, each of the cohort in their language.

    Whoever has one, or is no recipient any more, is left out.
    """
    instant = DateTime(timezone=True)
    values = {
        "edition_id": literal(plan.edition_id),
        "subscriber_id": col(Subscription.subscriber_id),
        "subscription_id": col(Subscription.id),
        "cohort_id": col(Cohort.id),
        "priority": literal(PRIORITY_DIGEST),
        "state": type_coerce(literal(DeliveryState.PENDING.value), stored_enum(DeliveryState)),
        "attempt": literal(0),
        "crashes": literal(0),
        "doubts": literal(0),
        "next_at": literal(now, instant),
        "expires_at": literal(now + expires_after, instant),
        "changed_at": literal(now, instant),
    }
    rows = (
        _lacking(session, plan, *values.values())
        .join(
            Cohort,
            (col(Cohort.edition_id) == plan.edition_id)
            & (col(Cohort.language) == col(Subscription.language)),
        )
        .where(col(Subscription.id).in_(ids))
    )
    make = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    await session.execute(make(Delivery).from_select(list(values), rows).on_conflict_do_nothing())


async def load_standing(session: AsyncSession, plan: LetterPlan) -> Standing:
    """How far composing has got. Looks at every recipient: not for a write transaction."""
    lacking = await session.execute(_lacking(session, plan, col(Subscription.id)).limit(1))
    if lacking.first() is not None:
        return Standing(is_complete=False)
    return Standing(True, await count_recipients(session, plan.recipients))


async def freeze_letter(
    session: AsyncSession, plan: LetterPlan, standing: Standing, now: datetime
) -> EditionState | None:
    """Make a composed letter visible to workers, or record why there is nobody to send it to.

    Args:
        standing: read after the last chunk was written.

    Returns:
        The new state; None when recipients still lack their mail, or somebody else was quicker.
    """
    state = await session.scalar(
        select(col(Edition.state))
        .where(col(Edition.id) == plan.edition_id)
        .with_for_update(of=Edition)
    )
    if state is not EditionState.COMPOSING or not standing.is_complete:
        return None
    mails = await session.scalar(
        select(func.count()).where(col(Delivery.edition_id) == plan.edition_id)
    )
    state = EditionState.FROZEN if mails else EditionState.SKIPPED
    changed = await session.execute(
        update(Edition)
        .where(col(Edition.id) == plan.edition_id, col(Edition.state) == EditionState.COMPOSING)
        .values(
            state=state,
            counters={
                "deliveries": mails or 0,
                "waiting": 0,
                "left_out": dict(standing.counts.left_out),
            },
            reason=None if mails else _why_nobody(standing.counts),
            frozen_at=now,
            done_at=None if mails else now,
        )
        .execution_options(synchronize_session=False)
    )
    assert isinstance(changed, CursorResult)
    await session.execute(
        update(Wave)
        .where(col(Wave.edition_id) == plan.edition_id, col(Wave.composed_at).is_(None))
        .values(composed_at=now)
        .execution_options(synchronize_session=False)
    )
    return state if changed.rowcount else None


def _lacking(session: AsyncSession, plan: LetterPlan, *columns: Any) -> Select[Any]:
    """Recipients who have no mail of the edition yet."""
    has_mail = (
        select(literal(1))
        .where(
            col(Delivery.edition_id) == plan.edition_id,
            col(Delivery.subscriber_id) == col(Subscription.subscriber_id),
        )
        .correlate(Subscription)
        .exists()
    )
    return (
        select(*columns)
        .select_from(Subscription)
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .join(Schedule, col(Schedule.id) == col(Subscription.schedule_id))
        .where(plan.recipients.are(session.get_bind().dialect.name), not_(has_mail))
    )


def _why_nobody(counts: Counts) -> str:
    if not counts.left_out:
        return "no subscribers"
    return "nobody to send it to: " + ", ".join(
        f"{count} {reason}" for reason, count in sorted(counts.left_out.items())
    )
