"""Welcome editions: the newest articles of a newsletter, for those who have just come.

No backlog: cursors stay where the confirmation put them, so what is new from then on comes with
their schedule, once. One edition stands for all who come while nothing is published; it is opened
again for those who come later.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import exists, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.cohort_store import RenderedCohort, store_cohort
from feedsvc.editions.cohorts import CohortPlan
from feedsvc.editions.compose import ArticleFacts, Item, Rules, arrange, select_items
from feedsvc.editions.composing import filter_of, load_dropped
from feedsvc.editions.writing import EVERYWHERE
from feedsvc.kit.filters import has_value
from feedsvc.model.article import Article, ArticleState, Counter
from feedsvc.model.delivery import IS_WAITING, PRIORITY_DIGEST, Delivery, DeliveryState
from feedsvc.model.edition import Edition, EditionKind, EditionState, Wave
from feedsvc.model.newsletter import Arrangement, Newsletter
from feedsvc.model.subscriber import AddressState, Subscriber, Subscription, SubscriptionState

#: People greeted in one transaction.
PIECE = 500
#: Articles looked at for each that is shown: of a story only one is.
_SPARE = 3
_UNREACHABLE = (AddressState.DEAD, AddressState.COMPLAINED)
#: In these it takes more mails; a paused one sends them when it is resumed.
_GOES_ON = (EditionState.SENDING, EditionState.PAUSED, EditionState.DONE)


@dataclass(frozen=True, slots=True)
class Newcomers:
    """People who are owed the same welcome."""

    newsletter: Newsletter
    topics: tuple[str, ...]
    language: str
    subscription_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Welcome:
    """What they get: `items` are the articles of its mail, in order."""

    newcomers: Newcomers
    #: The newest number there was when it was chosen.
    cut_seq: int
    articles: tuple[Article, ...]
    items: tuple[Item, ...]

    @property
    def plan(self) -> CohortPlan:
        """The mail, to be rendered once."""
        language, theme = self.newcomers.language, self.newcomers.newsletter.theme
        shown = ",".join(f"{item.article_id}.{item.revision}" for item in self.items)
        key = hashlib.sha256(f"welcome|{language}|{theme}|{shown}".encode()).hexdigest()
        return CohortPlan(key, language, self.items)


async def has_due(session: AsyncSession) -> bool:
    """Whether anybody is owed a welcome."""
    owed = select(col(Subscription.id)).where(col(Subscription.welcome_at).is_not(None)).limit(1)
    return (await session.execute(owed)).first() is not None


async def load_newcomers(session: AsyncSession, besides: Collection[int] = ()) -> list[Newcomers]:
    """The next people who are owed a welcome, or were, with all others who get the same.

    Args:
        besides: newsletters that are left alone for now.
    """
    rows = await session.execute(
        select(Subscription)
        .where(
            col(Subscription.welcome_at).is_not(None),
            col(Subscription.newsletter_id).not_in(besides),
        )
        .order_by(col(Subscription.welcome_at), col(Subscription.id))
        .limit(PIECE)
    )
    groups: dict[tuple[int, tuple[str, ...], str], list[int]] = {}
    for one in rows.scalars():
        key = (one.newsletter_id, tuple(one.topics), one.language)
        groups.setdefault(key, []).append(one.id or 0)
    return [
        Newcomers(await session.get_one(Newsletter, number), topics, language, tuple(ids))
        for (number, topics, language), ids in groups.items()
    ]


async def choose_welcome(session: AsyncSession, newcomers: Newcomers, now: datetime) -> Welcome:
    """The newest articles of theirs; also those that came with an archive, and no edition held."""
    newsletter = newcomers.newsletter
    cut_seq = await session.scalar(select(col(Counter.value)).where(col(Counter.name) == "seq"))
    wanted = 0 if newsletter.retired else newsletter.welcome_items
    admitted = filter_of(newsletter) & has_value("topic", newcomers.topics)
    dropped = await load_dropped(session, newsletter.id or 0)
    rows = await session.execute(
        select(Article)
        .where(
            col(Article.state) == ArticleState.PUBLISHED,
            col(Article.published_at) <= now,
            col(Article.seq) <= (cut_seq or 0),
            *admitted.to_sql(session.get_bind().dialect.name),
        )
        .order_by(col(Article.published_at).desc(), col(Article.seq).desc())
        .limit(wanted * _SPARE + min(len(dropped), PIECE))
    )
    newest = _one_a_story([one for one in rows.scalars() if one.id not in dropped])[:wanted]
    rules = Rules(max_items=wanted, arrangement=Arrangement.of(newsletter.arrangement))
    facts = arrange(map(ArticleFacts.of, newest), rules)
    items = select_items(facts, rules, from_seq=0, cut_seq=cut_seq or 0)
    by_id = {one.id: one for one in newest}
    articles = tuple(by_id[item.article_id] for item in items)
    return Welcome(newcomers, cut_seq or 0, articles, tuple(items))


async def greet(
    session: AsyncSession,
    welcome: Welcome,
    rendered: RenderedCohort | None,
    now: datetime,
    expires_after: timedelta,
) -> int | None:
    """Write the mails of newcomers, who are owed nothing from then on. May run twice.

    Who left meanwhile, or whose address is dead, is owed nothing, and gets nothing.

    Args:
        rendered: None when there is no article for them, and so no mail.

    Returns:
        The edition, if it has a mail more.
    """
    freed = await session.execute(
        update(Subscription)
        .where(
            col(Subscription.id).in_(welcome.newcomers.subscription_ids),
            col(Subscription.welcome_at).is_not(None),
        )
        .values(welcome_at=None)
        .returning(col(Subscription.id))
        .execution_options(synchronize_session=False)
    )
    ids = [row[0] for row in freed.all()]
    rows = await session.execute(
        select(col(Subscription.id), col(Subscription.subscriber_id))
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .where(
            col(Subscription.id).in_(ids),
            col(Subscription.state) == SubscriptionState.ACTIVE,
            col(Subscriber.state).not_in(_UNREACHABLE),
        )
    )
    people = [(subscription or 0, subscriber) for subscription, subscriber in rows.all()]
    if rendered is None or not people:
        return None
    edition = await _open_edition(session, welcome, now)
    theme = welcome.newcomers.newsletter.theme
    cohort_id = await store_cohort(session, edition.id or 0, welcome.plan, theme, rendered)
    made = await _write_mails(session, edition.id or 0, cohort_id, people, now, expires_after)
    edition.counters = edition.counters | {
        "deliveries": edition.counters.get("deliveries", 0) + made
    }
    await session.flush()
    await _reopen(session, edition.id or 0)
    return edition.id if made else None


async def _reopen(session: AsyncSession, edition_id: int) -> None:
    """Have an edition that was through go on, if mails wait in it."""
    waits = exists().where(col(Delivery.edition_id) == edition_id, IS_WAITING)
    await session.execute(
        update(Edition)
        .where(col(Edition.id) == edition_id, col(Edition.state) == EditionState.DONE, waits)
        .values(state=EditionState.SENDING, done_at=None)
        .execution_options(synchronize_session=False)
    )


def _one_a_story(articles: Sequence[Article]) -> list[Article]:
    """The newest of each story."""
    told: set[str] = set()
    first = []
    for one in articles:
        if one.story is None or one.story not in told:
            first.append(one)
        if one.story is not None:
            told.add(one.story)
    return first


async def _open_edition(session: AsyncSession, welcome: Welcome, now: datetime) -> Edition:
    """The edition for all who come between two articles; another one if that was given up."""
    newsletter_id = welcome.newcomers.newsletter.id or 0
    once = f"welcome:{newsletter_id}:{welcome.cut_seq}"
    edition = await _make_edition(session, newsletter_id, once, welcome.cut_seq, now)
    if edition.state not in _GOES_ON:
        once += f":{now.isoformat()}"
        edition = await _make_edition(session, newsletter_id, once, welcome.cut_seq, now)
    return edition


async def _make_edition(
    session: AsyncSession, newsletter_id: int, once: str, cut_seq: int, now: datetime
) -> Edition:
    make = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    made = await session.scalar(
        make(Edition)
        .values(
            newsletter_id=newsletter_id,
            kind=EditionKind.WELCOME,
            period=now.isoformat(),
            state=EditionState.SENDING,
            once=once,
            due_at=now,
            curation={},
            counters={"deliveries": 0, "waiting": 0, "left_out": {}},
            created_at=now,
            frozen_at=now,
        )
        .on_conflict_do_nothing(index_elements=["once"])
        .returning(col(Edition.id))
    )
    if made is not None:
        session.add(
            Wave(edition_id=made, zone=EVERYWHERE, due_at=now, cut_seq=cut_seq, composed_at=now)
        )
        await session.flush()
    # Held until the commit, against those who close or cancel it.
    found = select(Edition).where(col(Edition.once) == once).with_for_update()
    return (await session.execute(found.execution_options(populate_existing=True))).scalar_one()


async def _write_mails(
    session: AsyncSession,
    edition_id: int,
    cohort_id: int,
    people: Sequence[tuple[int, int]],
    now: datetime,
    expires_after: timedelta,
) -> int:
    """How many; who got this very welcome before, and came back, does not get it again."""
    make = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    rows = [
        {
            "edition_id": edition_id,
            "subscriber_id": subscriber_id,
            "subscription_id": subscription_id,
            "cohort_id": cohort_id,
            "priority": PRIORITY_DIGEST,
            "state": DeliveryState.PENDING,
            "attempt": 0,
            "crashes": 0,
            "doubts": 0,
            "next_at": now,
            "expires_at": now + expires_after,
            "changed_at": now,
        }
        for subscription_id, subscriber_id in people
    ]
    made = await session.execute(
        make(Delivery).values(rows).on_conflict_do_nothing().returning(col(Delivery.id))
    )
    return len(made.all())
