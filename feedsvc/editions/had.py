"""Who has an article in their mail: by edition, and one by one. Reads only."""

from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.recipients import MAY_HAVE_IT
from feedsvc.model.delivery import OPEN_STATES, Delivery, DeliveryState
from feedsvc.model.edition import Cohort, CohortItem, Edition, EditionKind, ItemOutcome
from feedsvc.model.newsletter import Newsletter
from feedsvc.model.subscriber import Subscriber


@dataclass(frozen=True, slots=True)
class EditionHad:
    """An edition that mailed an article. Who had it twice is counted in each."""

    edition_id: int
    newsletter: str
    kind: EditionKind
    sent: int
    #: Handed over without a reply: they may have it.
    in_doubt: int
    #: About to get it.
    under_way: int


@dataclass(frozen=True, slots=True)
class PersonHad:
    """Somebody who has an article, or may have it."""

    subscriber_id: int
    subscription_id: int
    address: str
    edition_id: int
    state: DeliveryState


async def count_had(
    session: AsyncSession, article_id: int, newsletter: str | None = None
) -> list[EditionHad]:
    """The editions that mailed an article, oldest first."""
    states = (
        col(Edition.id),
        col(Newsletter.key),
        col(Edition.kind),
        col(Delivery.state),
    )
    rows = await session.execute(
        _mails(article_id, newsletter)
        .with_only_columns(*states, func.count())
        .where(col(Delivery.state).in_((*MAY_HAVE_IT, *OPEN_STATES)))
        .group_by(*states)
        .order_by(col(Edition.id))
    )
    found: dict[int, tuple[str, EditionKind, dict[DeliveryState, int]]] = {}
    for edition_id, key, kind, state, count in rows.all():
        found.setdefault(edition_id or 0, (key, kind, {}))[2][state] = count
    return [
        EditionHad(
            edition_id,
            key,
            kind,
            sent=of.get(DeliveryState.SENT, 0),
            in_doubt=of.get(DeliveryState.HELD, 0) + of.get(DeliveryState.UNCERTAIN, 0),
            under_way=sum(of.get(state, 0) for state in OPEN_STATES),
        )
        for edition_id, (key, kind, of) in found.items()
    ]


async def load_had(
    session: AsyncSession, article_id: int, newsletter: str | None = None
) -> list[PersonHad]:
    """Everybody who has an article, or may have it, by address; once for each mail."""
    rows = await session.execute(
        _mails(article_id, newsletter)
        .join(Subscriber, col(Subscriber.id) == col(Delivery.subscriber_id))
        .with_only_columns(
            col(Subscriber.id),
            col(Delivery.subscription_id),
            # Where it went, though they may have another address by now.
            func.coalesce(col(Delivery.address), col(Subscriber.address)),
            col(Edition.id),
            col(Delivery.state),
        )
        .where(col(Delivery.state).in_(MAY_HAVE_IT))
        .order_by(col(Subscriber.address), col(Edition.id))
    )
    return [
        PersonHad(person or 0, subscription or 0, address, edition or 0, state)
        for person, subscription, address, edition, state in rows.all()
    ]


def _mails(article_id: int, newsletter: str | None) -> Select[Delivery]:
    """Mails that show an article."""
    mails = (
        select(Delivery)
        .select_from(CohortItem)
        .join(Cohort, col(Cohort.id) == col(CohortItem.cohort_id))
        .join(Edition, col(Edition.id) == col(Cohort.edition_id))
        .join(Newsletter, col(Newsletter.id) == col(Edition.newsletter_id))
        .join(
            Delivery,
            (col(Delivery.edition_id) == col(Edition.id))
            & (col(Delivery.cohort_id) == col(Cohort.id)),
        )
        .where(
            col(CohortItem.article_id) == article_id,
            col(CohortItem.outcome) == ItemOutcome.MAILED,
        )
    )
    return mails.where(col(Newsletter.key) == newsletter) if newsletter is not None else mails
