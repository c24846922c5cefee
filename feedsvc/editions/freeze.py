"""Write an edition's deliveries. Invisible to workers until the edition's one row is flipped.

A crash anywhere before the flip leaves nothing to send; composing again with the same cut goes on
where it stopped, because whoever has a delivery in this edition is not composed again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import exists, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import QueryableAttribute, load_only
from sqlmodel import col

from feedsvc.editions.cohorts import CohortPlan, ReaderGroup
from feedsvc.editions.compose import ArticleFacts, Item, select_announced
from feedsvc.editions.readers import load_members, load_on_their_way
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.delivery import IS_OPEN, PRIORITY_DIGEST, Delivery, DeliveryState
from feedsvc.model.edition import (
    Cohort,
    CohortItem,
    Edition,
    EditionState,
    ItemOutcome,
    Wave,
)
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.ports import Selection
from feedsvc.model.subscriber import Subscription

#: Readers written in one transaction: well below a tenth of a second of write lock.
CHUNK = 500

#: All that deciding looks at: texts stay in the database.
_FACTS = cast(
    "tuple[QueryableAttribute[Any], ...]",
    (
        col(Article.seq),
        col(Article.revision),
        col(Article.published_at),
        col(Article.state),
        col(Article.source),
        col(Article.section),
        col(Article.topics),
        col(Article.language),
    ),
)


@dataclass(frozen=True, slots=True)
class Composing:
    """An edition being composed, with all that deciding about it needs."""

    edition: Edition
    wave: Wave
    newsletter: Newsletter
    schedule: Schedule | None

    @property
    def selection(self) -> Selection:
        """Which articles the newsletter holds."""
        stored = self.newsletter.selection
        return Selection(**{name: frozenset(values) for name, values in stored.items()})


@dataclass(frozen=True, slots=True)
class RenderedCohort:
    """A cohort's mail as rendered; `shown` of its mailed items fitted, in their order."""

    subject: str
    html: str
    text: str
    page: str
    shown: int


async def load_composing(session: AsyncSession, edition_id: int) -> Composing | None:
    """An edition to be composed or followed up; None when there is nothing to do for it."""
    row = (
        await session.execute(
            select(Edition, Wave, Newsletter, Schedule)
            .join(Wave, col(Wave.edition_id) == col(Edition.id))
            .join(Newsletter, col(Newsletter.id) == col(Edition.newsletter_id))
            .outerjoin(Schedule, col(Schedule.id) == col(Edition.schedule_id))
            .where(col(Edition.id) == edition_id)
        )
    ).first()
    if row is None:
        return None
    edition, wave, newsletter, schedule = row
    follow_up = edition.state in (EditionState.SENDING, EditionState.FROZEN) and wave.waiting > 0
    if edition.state is not EditionState.COMPOSING and not follow_up:
        return None
    return Composing(edition, wave, newsletter, schedule)


async def load_announced(
    session: AsyncSession, selection: Selection, from_seq: int, cut_seq: int
) -> list[ArticleFacts]:
    """The announced articles of `(from_seq, cut_seq]` that a newsletter holds, in mail order."""
    rows = await session.execute(
        select(Article)
        .options(load_only(*_FACTS))
        .where(
            col(Article.seq) > from_seq,
            col(Article.seq) <= cut_seq,
            col(Article.announce).is_(True),
            col(Article.state).in_([ArticleState.PUBLISHED, ArticleState.WITHDRAWN]),
        )
    )
    return select_announced(map(ArticleFacts.of, rows.scalars()), selection)


async def load_articles(session: AsyncSession, items: Sequence[Item]) -> list[Article]:
    """The articles a cohort's mail shows, in mail order."""
    ids = [item.article_id for item in items if item.outcome is ItemOutcome.MAILED]
    rows = await session.execute(select(Article).where(col(Article.id).in_(ids)))
    by_id = {article.id: article for article in rows.scalars()}
    return [by_id[article_id] for article_id in ids]


async def store_cohort(
    session: AsyncSession, edition_id: int, plan: CohortPlan, theme: str, rendered: RenderedCohort
) -> int:
    """Keep a rendered cohort and what became of each article; its id. Once an edition and key."""
    make = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    cohort_id = await session.scalar(
        make(Cohort)
        .values(
            edition_id=edition_id,
            content_key=plan.key,
            language=plan.language,
            theme=theme,
            subject=rendered.subject,
            html=rendered.html,
            text=rendered.text,
            page=rendered.page,
        )
        .on_conflict_do_nothing(index_elements=["edition_id", "content_key"])
        .returning(col(Cohort.id))
    )
    if cohort_id is None:
        return await find_cohort(session, edition_id, plan.key) or 0
    await session.execute(
        insert(CohortItem),
        [
            {
                "cohort_id": cohort_id,
                "article_id": item.article_id,
                "revision": item.revision,
                "position": position,
                "outcome": outcome,
            }
            for position, (item, outcome) in enumerate(_fitted(plan.items, rendered.shown))
        ],
    )
    return int(cohort_id)


async def find_cohort(session: AsyncSession, edition_id: int, key: str) -> int | None:
    """The id of a cohort rendered earlier, by its content key."""
    return await session.scalar(
        select(col(Cohort.id)).where(
            col(Cohort.edition_id) == edition_id, col(Cohort.content_key) == key
        )
    )


def _fitted(items: Sequence[Item], shown: int) -> list[tuple[Item, ItemOutcome]]:
    """Outcomes after rendering: mailed items that did not fit are counted as more."""
    outcomes = []
    for item in items:
        outcome = item.outcome
        if outcome is ItemOutcome.MAILED:
            if shown > 0:
                shown -= 1
            else:
                outcome = ItemOutcome.AND_MORE
        outcomes.append((item, outcome))
    return outcomes


async def store_chunk(
    session: AsyncSession,
    composing: Composing,
    group: ReaderGroup,
    cohort_id: int | None,
    *,
    after_id: int,
    now: datetime,
    expires_after: timedelta,
) -> int | None:
    """Write deliveries for the next readers of a group, or move them on when nothing matched.

    What is still unsent of earlier editions is superseded: its window is part of this one. A mail
    that a worker has taken is left alone, and its reader waits for a follow-up.

    Args:
        cohort_id: None when nothing matched this group: cursors move to the cut.

    Returns:
        The last subscription id looked at; None when the group is finished.
    """
    edition, cut_seq = composing.edition, composing.wave.cut_seq
    members = await load_members(session, edition, group, after_id, CHUNK)
    if not members:
        return None
    # First take back what can be taken back; what is open after that has been claimed.
    await _supersede(session, composing, list(members), now)
    on_their_way = await load_on_their_way(session, list(members))
    free = {sub: person for sub, person in members.items() if sub not in on_their_way}
    if free and cohort_id is None:
        await session.execute(
            update(Subscription)
            .where(col(Subscription.id).in_(free), col(Subscription.cursor) == group.from_seq)
            .values(cursor=cut_seq)
        )
    elif free and cohort_id is not None:
        rows = [
            _delivery(composing, group, cohort_id, sub, person, now, expires_after)
            for sub, person in free.items()
        ]
        # Another node may be composing the same edition: whoever is second adds nothing.
        make = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
        await session.execute(make(Delivery).on_conflict_do_nothing(), rows)
    return max(members)


def _delivery(
    composing: Composing,
    group: ReaderGroup,
    cohort_id: int,
    subscription_id: int,
    subscriber_id: int,
    now: datetime,
    expires_after: timedelta,
) -> Mapping[str, object]:
    return {
        "edition_id": composing.edition.id,
        "subscriber_id": subscriber_id,
        "subscription_id": subscription_id,
        "cohort_id": cohort_id,
        "priority": PRIORITY_DIGEST,
        "from_seq": group.from_seq,
        "cut_seq": composing.wave.cut_seq,
        "state": DeliveryState.PENDING,
        "next_at": now,
        "expires_at": now + expires_after,
        "changed_at": now,
    }


async def _supersede(
    session: AsyncSession, composing: Composing, subscription_ids: Sequence[int], now: datetime
) -> None:
    """Take back unsent mails of other editions whose open window this one covers.

    An edition with a later cut keeps its mail, whichever is composed first. A mail that was held
    and goes again, at the operator's word, after later ones has no open window: it goes first.
    """
    its_window_is_open = exists().where(
        col(Subscription.id) == col(Delivery.subscription_id),
        col(Subscription.cursor) == col(Delivery.from_seq),
    )
    await session.execute(
        update(Delivery)
        .where(
            col(Delivery.subscription_id).in_(subscription_ids),
            col(Delivery.edition_id) != composing.edition.id,
            col(Delivery.cut_seq) <= composing.wave.cut_seq,
            IS_OPEN,  # by which those that ended are not looked at
            col(Delivery.state).in_([DeliveryState.PENDING, DeliveryState.DEFERRED]),
            its_window_is_open,
        )
        .values(
            state=DeliveryState.SUPERSEDED,
            reason="a later edition holds its articles",
            changed_at=now,
        )
        .execution_options(synchronize_session=False)
    )
