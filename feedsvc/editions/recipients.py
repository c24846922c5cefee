"""Whom a letter is for: those of a newsletter's subscribers that it names, and why not the others.

Reads only.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, literal, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.readers import why_left_out
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.edition import CohortItem, ItemOutcome
from feedsvc.model.newsletter import Schedule
from feedsvc.model.subscriber import AddressState, Subscriber, Subscription, SubscriptionState

#: States of mails that their reader has, or may have.
MAY_HAVE_IT = (DeliveryState.SENT, DeliveryState.HELD, DeliveryState.UNCERTAIN)
_UNREACHABLE = (AddressState.DEAD, AddressState.COMPLAINED)
_HAD_NOT = "were not mailed the article"


@dataclass(frozen=True, slots=True)
class Addressees:
    """The part of a newsletter's subscribers that is meant; an empty field means all."""

    #: Keys of schedules.
    schedules: tuple[str, ...] = ()
    #: Who has chosen one of these, or has chosen no topics, and so follows them all.
    topics: tuple[str, ...] = ()
    #: `zh` means `zh-CN`, too.
    languages: tuple[str, ...] = ()
    #: IANA names; who has chosen none is in that of their schedule.
    zones: tuple[str, ...] = ()

    def stored(self) -> dict[str, Any]:
        """As a map for the database."""
        return {name: list(values) for name, values in asdict(self).items() if values}

    @classmethod
    def of(cls, stored: dict[str, Any]) -> "Addressees":
        """From the database's map."""
        return cls(**{name: tuple(stored[name]) for name in cls.__slots__ if name in stored})


EVERYBODY = Addressees()


@dataclass(slots=True)
class Counts:
    """How many a letter goes to, taken apart; and how many it does not go to, by reason."""

    total: int = 0
    schedules: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    zones: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Recipients:
    """Conditions on a subscription that is joined to its subscriber and its schedule."""

    newsletter_id: int
    addressees: Addressees
    #: Only those who were mailed this article, or may have been.
    article_id: int | None = None

    def are(self, dialect: str) -> ColumnElement[bool]:
        """Whether somebody gets it.

        Args:
            dialect: `sqlite` or `postgresql`.
        """
        is_theirs = col(Subscription.newsletter_id) == self.newsletter_id
        if dialect == "sqlite":
            # QUIRK: hidden from it, lest it gather all of them by an index, for each piece of them
            # that is asked for in the order of ids.
            is_theirs = col(Subscription.newsletter_id) + 0 == self.newsletter_id
        return and_(
            is_theirs,
            col(Subscription.state) == SubscriptionState.ACTIVE,
            col(Subscriber.state).not_in(_UNREACHABLE),
            *(condition for _, condition in self.conditions(dialect)),
        )

    def conditions(self, dialect: str) -> list[tuple[str, ColumnElement[bool]]]:
        """What the letter asks of its recipients; before each, why the others are left out."""
        meant = self.addressees
        wanted: list[tuple[str, ColumnElement[bool]]] = []
        if self.article_id is not None:
            wanted.append((_HAD_NOT, _was_mailed(self.article_id)))
        if meant.schedules:
            wanted.append(("have another schedule", col(Schedule.key).in_(meant.schedules)))
        if meant.languages:
            wanted.append(("read another language", _reads(meant.languages)))
        if meant.zones:
            wanted.append(("are in another zone", own_zone().in_(meant.zones)))
        if meant.topics:
            wanted.append(("have chosen other topics", _follows(meant.topics, dialect)))
        return wanted


def own_zone() -> ColumnElement[str]:
    """The zone a subscription's mail is for."""
    return func.coalesce(func.nullif(col(Subscription.zone), ""), col(Schedule.zone))


async def count_recipients(session: AsyncSession, recipients: Recipients) -> Counts:
    """How many get a letter if it is composed now, and why the others do not."""
    dialect = session.get_bind().dialect.name
    conditions = recipients.conditions(dialect)
    # The first that does not hold says why.
    lacking = case(
        *((condition.is_not(true()), number) for number, (_, condition) in enumerate(conditions)),
        else_=len(conditions),
    )
    rows = select(
        col(Subscription.state).label("state"),
        col(Subscriber.state).label("address"),
        col(Schedule.key).label("schedule"),
        col(Subscription.language).label("language"),
        own_zone().label("zone"),
        (lacking if conditions else literal(0)).label("lacking"),
    )
    each = (
        rows.select_from(Subscription)
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .join(Schedule, col(Schedule.id) == col(Subscription.schedule_id))
        .where(col(Subscription.newsletter_id) == recipients.newsletter_id)
        .subquery()
    )
    found = await session.execute(select(*each.c, func.count()).group_by(*each.c))
    counts = Counts()
    for *row, count in found.all():
        state, address, schedule, language, zone, lacks = row
        if reason := why_left_out(state, address):
            counts.left_out[reason] += count
        elif lacks < len(conditions):
            counts.left_out[conditions[lacks][0]] += count
        else:
            counts.total += count
            counts.schedules[schedule] += count
            counts.languages[language] += count
            counts.zones[zone] += count
    return counts


def _was_mailed(article_id: int) -> ColumnElement[bool]:
    return (
        select(literal(1))
        .select_from(Delivery)
        .join(CohortItem, col(CohortItem.cohort_id) == col(Delivery.cohort_id))
        .where(
            # By the subscriber, for whom there is an index.
            col(Delivery.subscriber_id) == col(Subscription.subscriber_id),
            col(Delivery.subscription_id) == col(Subscription.id),
            col(Delivery.state).in_(MAY_HAVE_IT),
            col(CohortItem.article_id) == article_id,
            col(CohortItem.outcome) == ItemOutcome.MAILED,
        )
        .correlate(Subscription)
        .exists()
    )


def _reads(languages: Sequence[str]) -> ColumnElement[bool]:
    given = func.lower(col(Subscription.language))
    wanted = [one.lower() for one in languages]
    return or_(given.in_(wanted), *(given.startswith(f"{one}-", autoescape=True) for one in wanted))


def _follows(topics: Sequence[str], dialect: str) -> ColumnElement[bool]:
    chosen = col(Subscription.topics)
    unfold = func.json_each if dialect == "sqlite" else func.jsonb_array_elements_text
    each = unfold(chosen).table_valued("value", name="chosen")
    is_one = select(literal(1)).select_from(each).where(each.c.value.in_(topics)).exists()
    return or_(chosen == [], is_one)
