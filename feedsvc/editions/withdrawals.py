"""Articles that are withdrawn while an edition that holds them goes out.

Mails not sent yet go without the article, or not at all, as the newsletter says; who already had
it is told by had.py. What a worker has in its hands is left to it, and comes back here if it is
given back unsent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import CursorResult, Select, null, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.compose import ArticleFacts, Item, Rules
from feedsvc.editions.composing import load_articles
from feedsvc.editions.control import PIECE, cancel_edition
from feedsvc.editions.without import Affected
from feedsvc.model.article import Article
from feedsvc.model.delivery import IS_WAITING, Delivery, DeliveryState
from feedsvc.model.edition import (
    Cohort,
    CohortItem,
    Curation,
    Edition,
    EditionKind,
    EditionState,
    ItemOutcome,
    Wave,
)
from feedsvc.model.newsletter import Arrangement, Newsletter, OnWithdrawal, Schedule
from feedsvc.model.subscriber import Subscription

#: Withdrawals so far back are looked at: no mail waits for longer, unless its edition is paused.
LOOK_BACK = timedelta(days=31)
#: Of them at most; the latest.
_MOST = 500
#: While it is composed, too: what was written before the withdrawal is looked at after it.
_GOING_OUT = (
    EditionState.COMPOSING,
    EditionState.FROZEN,
    EditionState.SENDING,
    EditionState.PAUSED,
)


@dataclass(frozen=True, slots=True)
class AffectedEdition:
    """An edition under way that holds withdrawn articles, with all that a new rendering needs."""

    edition: Edition
    newsletter: Newsletter
    schedule: Schedule | None
    due_at: datetime
    #: Of the withdrawn articles.
    titles: tuple[str, ...]
    cohorts: tuple[Affected, ...]

    @property
    def rules(self) -> Rules:
        """What holds for all its mails."""
        return Rules(
            max_items=0,  # as many as each had
            theme=self.newsletter.theme,
            arrangement=Arrangement.of(self.newsletter.arrangement),
            curation=Curation.of(self.edition.curation),
        )

    @property
    def stops(self) -> bool:
        """Whether it is given up, rather than to go on without the article.

        A mail that greets somebody goes on all the same: no later one would stand for it.
        """
        return (
            self.newsletter.on_withdrawal is OnWithdrawal.STOP
            and self.edition.kind is EditionKind.DIGEST
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of waiting mails."""

    #: They go without the article.
    without: int = 0
    #: They do not go: nothing else was in them.
    emptied: int = 0
    #: They may have arrived, and are not repeated.
    left: int = 0

    def __add__(self, other: "Moved") -> "Moved":
        return Moved(
            self.without + other.without, self.emptied + other.emptied, self.left + other.left
        )

    @property
    def total(self) -> int:
        """How many in all."""
        return self.without + self.emptied + self.left


async def is_shown(session: AsyncSession, now: datetime) -> bool:
    """Whether mails of an edition under way show a withdrawn article, sent or not.

    Begins at what was withdrawn, so it costs next to nothing when that is nothing.
    """
    return bool(await load_withdrawn(session, now))


async def load_withdrawn(session: AsyncSession, now: datetime) -> list[int]:
    """Articles that were withdrawn lately, and that mails of editions under way show."""
    rows = await session.execute(
        select(col(Article.id))
        .where(col(Article.withdrawn_at) > now - LOOK_BACK)
        .order_by(col(Article.withdrawn_at).desc())
        .limit(_MOST)
    )
    ids = [row[0] or 0 for row in rows.all()]
    if not ids:
        return []
    shown = _shows(ids).with_only_columns(col(CohortItem.article_id)).distinct()
    return [row[0] for row in (await session.execute(shown)).all()]


async def find_affected(session: AsyncSession, withdrawn: Sequence[int]) -> list[int]:
    """Editions that would still mail one of these articles. Looks at all their mails that wait."""
    if not withdrawn:
        return []
    rows = await session.execute(
        _shows(withdrawn)
        .with_only_columns(col(Edition.id))
        .where(_waits().exists())
        .distinct()
        .order_by(col(Edition.id))
    )
    return [row[0] or 0 for row in rows.all()]


async def load_affected(
    session: AsyncSession, edition_id: int, withdrawn: Sequence[int]
) -> AffectedEdition | None:
    """An edition that would mail withdrawn articles, with its cohorts; None when it does not."""
    found = await session.execute(
        _shows(withdrawn)
        .join(Article, col(Article.id) == col(CohortItem.article_id))
        .with_only_columns(col(Cohort.id), col(Article.id), col(Article.title))
        .where(col(Edition.id) == edition_id, _waits().exists())
        .order_by(col(Cohort.id), col(Article.id))
    )
    shown = found.all()
    row = (
        await session.execute(
            select(Edition, Newsletter, Schedule)
            .join(Newsletter, col(Newsletter.id) == col(Edition.newsletter_id))
            .outerjoin(Schedule, col(Schedule.id) == col(Edition.schedule_id))
            .where(col(Edition.id) == edition_id)
        )
    ).first()
    if not shown or row is None:
        return None
    first_due = select(col(Wave.due_at)).where(col(Wave.edition_id) == edition_id)
    due_at = await session.scalar(first_due.order_by(col(Wave.due_at)).limit(1))
    titles = tuple(dict.fromkeys(title for _, _, title in shown))
    cohort_ids = dict.fromkeys(cohort_id or 0 for cohort_id, _, _ in shown)
    cohorts = [await _load_cohort(session, one) for one in cohort_ids]
    return AffectedEdition(*row, due_at or row[0].created_at, titles, tuple(cohorts))


async def stop_edition(session: AsyncSession, affected: AffectedEdition) -> None:
    """Give an edition up; windows stay open, and what else was in it comes with the next."""
    names = ", ".join(f"“{title}”" for title in affected.titles)
    await cancel_edition(
        session,
        affected.edition.id or 0,
        reason=f"stopped: {names} was withdrawn; its other articles come with the next edition",
    )


async def move_mails(
    session: AsyncSession, affected: Affected, edition_id: int, to: int | None, now: datetime
) -> Moved:
    """Have some more of a cohort's waiting mails go with another's content; none left: total 0.

    Args:
        to: the cohort without the article; None when nothing is left in it. Then the mails do not
            go, and their windows are settled: nothing in them matches any more.
    """
    rows = await session.execute(
        _waiting_mails(edition_id, affected.cohort_id)
        .limit(PIECE)
        # With their cursors, which may be moved: nobody is waited for with a mail in hand.
        .with_for_update(of=(Delivery, Subscription), key_share=True, skip_locked=True)
    )
    found = rows.all()
    # SECURITY: who may have a mail gets the same bytes again, or nothing: not two mails with one
    # Message-ID that say different things. The same bytes hold the withdrawn article, so: nothing.
    # Without a doubt there is no copy anywhere, whether the mail had its dot before or not: every
    # reply to it was a clear no.
    doubted = [one for one, doubts in found if doubts]
    certain = [one for one, doubts in found if not doubts]
    left = await _change(
        session,
        doubted,
        now,
        state=DeliveryState.UNCERTAIN,
        reason="may have arrived; not sent once more, because an article in it was withdrawn",
    )
    if to is not None:
        # What a resend would need to be byte for byte the same is of the mail before.
        anew = dict.fromkeys(("date_at", "address", "renderer", "signed_with"), null())
        return Moved(without=await _change(session, certain, now, cohort_id=to, **anew), left=left)
    reason = "nothing is left of it: its articles were withdrawn"
    emptied = await _change(session, certain, now, state=DeliveryState.SKIPPED, reason=reason)
    await _settle(session, certain)
    return Moved(emptied=emptied, left=left)


async def _load_cohort(session: AsyncSession, cohort_id: int) -> Affected:
    cohort = await session.get_one(Cohort, cohort_id)
    rows = await session.execute(
        select(CohortItem)
        .where(col(CohortItem.cohort_id) == cohort_id)
        .order_by(col(CohortItem.position))
    )
    items = tuple(Item(one.article_id, one.revision, one.outcome) for one in rows.scalars())
    articles = await load_articles(session, [item.article_id for item in items])
    facts = {one.id: one for one in map(ArticleFacts.of, articles)}
    return Affected(cohort_id, cohort.language, cohort.theme, cohort.content_key, items, facts)


def _shows(articles: Sequence[int]) -> Select[CohortItem]:
    """Cohorts of editions that go out, whose mail shows one of these articles."""
    return (
        select(CohortItem)
        .join(Cohort, col(Cohort.id) == col(CohortItem.cohort_id))
        .join(Edition, col(Edition.id) == col(Cohort.edition_id))
        .where(
            col(CohortItem.article_id).in_(articles),
            col(CohortItem.outcome) == ItemOutcome.MAILED,
            col(Edition.state).in_(_GOING_OUT),
        )
    )


def _waits() -> Select[int | None]:
    return (
        select(col(Delivery.id))
        .where(
            col(Delivery.edition_id) == col(Edition.id),
            col(Delivery.cohort_id) == col(Cohort.id),
            IS_WAITING,
        )
        .correlate(Edition, Cohort)
    )


def _waiting_mails(edition_id: int, cohort_id: int) -> Select[int | None, int]:
    return (
        select(col(Delivery.id), col(Delivery.doubts))
        .join(Subscription, col(Subscription.id) == col(Delivery.subscription_id))
        .where(
            col(Delivery.edition_id) == edition_id, col(Delivery.cohort_id) == cohort_id, IS_WAITING
        )
    )


async def _change(
    session: AsyncSession, ids: Sequence[int | None], now: datetime, **values: object
) -> int:
    if not ids:
        return 0
    changed = await session.execute(
        update(Delivery)
        .where(col(Delivery.id).in_(ids), IS_WAITING)
        .values(changed_at=now, **values)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(changed, CursorResult)
    return changed.rowcount


async def _settle(session: AsyncSession, ids: Sequence[int | None]) -> None:
    """Move the cursors of those who had a window over it."""
    if ids:
        await session.execute(
            update(Subscription)
            .where(
                col(Delivery.id).in_(ids),
                col(Subscription.id) == col(Delivery.subscription_id),
                col(Subscription.cursor) == col(Delivery.from_seq),
            )
            .values(cursor=col(Delivery.cut_seq))
            .execution_options(synchronize_session=False)
        )
