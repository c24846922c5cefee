"""A wave being composed, with all that deciding about it needs. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import QueryableAttribute, load_only
from sqlmodel import col

from feedsvc.editions.compose import ArticleFacts, Item, Rules
from feedsvc.editions.readers import Audience, load_zones
from feedsvc.editions.wall_clock import find_zone
from feedsvc.errors import ArticleChanged
from feedsvc.kit.filters import Filter, from_selection, parse_filter
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.edition import Curation, Edition, EditionKind, EditionState, ItemOutcome, Wave
from feedsvc.model.newsletter import Arrangement, DroppedArticle, Newsletter, Schedule
from feedsvc.model.ports import Selection

#: States in which an edition's waves are composed.
UNDER_WAY = (EditionState.COMPOSING, EditionState.FROZEN, EditionState.SENDING)
#: Older articles of stories that are looked up for each reader at most.
_MOST_TOLD = 30

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
        col(Article.story),
        col(Article.weight),
    ),
)


@dataclass(frozen=True, slots=True)
class Composing:
    """A wave being composed."""

    edition: Edition
    wave: Wave
    newsletter: Newsletter
    schedule: Schedule | None
    #: Zones of its readers as they stand in their rows; None: all.
    zones: tuple[str, ...] | None = None
    #: Articles kept out of the newsletter for good.
    dropped: frozenset[int] = frozenset()

    @property
    def audience(self) -> Audience:
        """Whom it is for."""
        return Audience(
            edition_id=self.edition.id or 0,
            newsletter_id=self.newsletter.id or 0,
            schedule_id=self.schedule.id if self.schedule else None,
            cut_seq=self.wave.cut_seq,
            zones=self.zones,
        )

    @property
    def day(self) -> date | None:
        """The day that the mails of all zones name; None: that of the due instant."""
        return day_of(self.edition, self.schedule)

    @property
    def curation(self) -> Curation:
        """What the operator decided about it."""
        return Curation.of(self.edition.curation)

    def rules(
        self,
        above: Mapping[str, str] | None = None,
        told: Mapping[str, Sequence[tuple[int, int]]] | None = None,
    ) -> Rules:
        """What holds for all its mails.

        Args:
            above: as in Rules.
            told: as in Rules.
        """
        limits = self.schedule or self.newsletter
        return Rules(
            max_items=limits.max_items,
            # Who sends by hand wants it to go.
            min_items=limits.min_items if self.schedule else 1,
            carry_max=self.newsletter.carry_max,
            theme=self.newsletter.theme,
            arrangement=Arrangement.of(self.newsletter.arrangement),
            curation=self.curation,
            dropped=self.dropped,
            above=above or {},
            told=told or {},
        )


def day_of(edition: Edition, schedule: Schedule | None) -> date | None:
    """The day that the mails of all zones name; None: that of the due instant. Pure."""
    if schedule is None or not schedule.own_zone:
        return None
    return date.fromisoformat(edition.period[:10])


async def is_letter(session: AsyncSession, edition_id: int) -> bool:
    """Whether an edition is what somebody wrote, rather than articles."""
    kind = await session.scalar(select(col(Edition.kind)).where(col(Edition.id) == edition_id))
    return kind in (EditionKind.ANNOUNCEMENT, EditionKind.CORRECTION)


async def find_waves(session: AsyncSession, edition_id: int, now: datetime) -> list[int]:
    """The waves of an edition that are to be composed, or followed up, by now."""
    rows = await session.execute(
        select(col(Wave.id))
        .join(Edition, col(Edition.id) == col(Wave.edition_id))
        .where(
            col(Wave.edition_id) == edition_id,
            col(Edition.state).in_(UNDER_WAY),
            (col(Wave.composed_at).is_(None) & (col(Wave.due_at) <= now))
            | ((col(Wave.waiting) > 0) & (col(Edition.state) != EditionState.COMPOSING)),
        )
        .order_by(col(Wave.due_at), col(Wave.id))
    )
    return [row[0] or 0 for row in rows.all()]


async def load_composing(session: AsyncSession, wave_id: int) -> Composing | None:
    """A wave to be composed; None when its edition does not go on."""
    row = (
        await session.execute(
            select(Edition, Wave, Newsletter, Schedule)
            .join(Wave, col(Wave.edition_id) == col(Edition.id))
            .join(Newsletter, col(Newsletter.id) == col(Edition.newsletter_id))
            .outerjoin(Schedule, col(Schedule.id) == col(Edition.schedule_id))
            .where(col(Wave.id) == wave_id)
        )
    ).first()
    if row is None:
        return None
    edition, wave, newsletter, schedule = row
    if edition.state not in UNDER_WAY:
        return None
    return Composing(
        edition,
        wave,
        newsletter,
        schedule,
        # Of the edition, not of the schedule, which may have got one zone for all since.
        None if edition.open_until is None else await load_wave_zones(session, schedule, wave.zone),
        # What is approved is approved as it is: its own drops hold those of the newsletter.
        await load_dropped(session, newsletter.id or 0) if edition.cut_seq is None else frozenset(),
    )


async def load_wave_zones(
    session: AsyncSession, schedule: Schedule | None, zone: str
) -> tuple[str, ...] | None:
    """The zones that readers may have in their rows to be of a wave; None: all."""
    if schedule is None:
        return None
    there = await load_zones(session, schedule.newsletter_id, schedule.id or 0)
    return tuple(one for one in there if find_zone(one, schedule.zone).key == zone)


async def load_dropped(session: AsyncSession, newsletter_id: int) -> frozenset[int]:
    """The articles that a newsletter's operator keeps out of it for good."""
    rows = await session.execute(
        select(col(DroppedArticle.article_id)).where(
            col(DroppedArticle.newsletter_id) == newsletter_id
        )
    )
    return frozenset(row[0] for row in rows.all())


def filter_of(newsletter: Newsletter) -> Filter:
    """Which articles a newsletter holds."""
    parts = {name: frozenset(values) for name, values in newsletter.selection.items()}
    return from_selection(Selection(**parts)) & parse_filter(newsletter.filter)


async def load_announced(
    session: AsyncSession, newsletter: Newsletter, from_seq: int, cut_seq: int
) -> list[ArticleFacts]:
    """The announced articles of `(from_seq, cut_seq]` that a newsletter holds, in any order."""
    dialect = session.get_bind().dialect.name
    rows = await session.execute(
        select(Article)
        .options(load_only(*_FACTS))
        .where(
            col(Article.seq) > from_seq,
            col(Article.seq) <= cut_seq,
            col(Article.announce).is_(True),
            col(Article.state).in_([ArticleState.PUBLISHED, ArticleState.WITHDRAWN]),
            *filter_of(newsletter).to_sql(dialect),
        )
    )
    return [ArticleFacts.of(article) for article in rows.scalars()]


async def load_told(
    session: AsyncSession, facts: Sequence[ArticleFacts], settled_seq: int
) -> list[tuple[str, int, int]]:
    """Articles that tell the stories of these, and that somebody may have got: story, id, number.

    Args:
        settled_seq: the newest number that is behind some reader.
    """
    stories = sorted({one.story for one in facts if one.story is not None})
    told: list[tuple[str, int, int]] = []
    for start in range(0, len(stories), 500):
        rows = await session.execute(
            select(col(Article.story), col(Article.id), col(Article.seq))
            .where(
                col(Article.story).in_(stories[start : start + 500]),
                col(Article.seq) <= settled_seq,
                col(Article.announce).is_(True),
            )
            .order_by(col(Article.seq).desc())
        )
        told += [(row[0] or "", row[1] or 0, row[2] or 0) for row in rows.all()]
    newest_first = sorted(told, key=lambda one: -one[2])
    return newest_first[:_MOST_TOLD]


async def load_articles(session: AsyncSession, ids: Sequence[int]) -> list[Article]:
    """Articles in the order of these ids."""
    by_id: dict[int | None, Article] = {}
    for start in range(0, len(ids), 500):
        piece = ids[start : start + 500]
        rows = await session.execute(select(Article).where(col(Article.id).in_(piece)))
        by_id |= {article.id: article for article in rows.scalars()}
    return [by_id[article_id] for article_id in ids if article_id in by_id]


def check_unchanged(items: Sequence[Item], articles: Sequence[Article]) -> None:
    """Make sure that what is about to be rendered is what was decided about.

    Raises:
        ArticleChanged: one was edited or withdrawn meanwhile.
    """
    decided = {item.article_id: item.revision for item in items}
    for article in articles:
        now = article.revision, article.state
        if now != (decided[article.id or 0], ArticleState.PUBLISHED):
            raise ArticleChanged(f"article {article.id} has changed while its mail was made")


def ids_of(items: Sequence[Item], outcome: ItemOutcome) -> list[int]:
    """The articles of a mail that came to this, in mail order."""
    return [item.article_id for item in items if item.outcome is outcome]
