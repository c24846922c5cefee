"""What is stored about one reader of a newsletter and one article, as far as it tells who got what.

Values only: `editions.explain` loads them; the modules beside this say what they mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from feedsvc.model.article import ArticleState
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.edition import EditionKind, EditionState, GroupOutcome, ItemOutcome
from feedsvc.model.newsletter import CatchUp
from feedsvc.model.subscriber import AddressState, Resume, SubscriptionState


@dataclass(frozen=True, slots=True)
class AskedArticle:
    """The article that is asked about; `seq` None: it has never been published."""

    id: int
    title: str
    state: ArticleState
    seq: int | None
    announce: bool
    source: str
    section: str | None
    topics: tuple[str, ...]
    language: str
    published_at: datetime
    stored_at: datetime
    #: When its present revision was stored.
    revised_at: datetime | None = None
    withdrawn_at: datetime | None = None
    #: When its source had been looked at to its end for the first time; None: not yet.
    first_scan_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AskedReader:
    """Where the person stands with the newsletter."""

    subscriber_id: int
    subscription_id: int
    newsletter: str
    newsletter_retired: bool
    schedule: str
    schedule_retired: bool
    #: IANA name of the zone that their editions are due in.
    zone: str
    state: SubscriptionState
    address_state: AddressState
    #: Number of the newest article that is settled for them; None before they confirmed.
    cursor: int | None
    topics: tuple[str, ...]
    #: When they last changed their topics, their pause, or whether they are subscribed.
    topics_since: datetime | None = None
    state_since: datetime | None = None
    paused_until: datetime | None = None
    resume: Resume = Resume.CATCH_UP
    confirmed_at: datetime | None = None
    #: Their cursor when they last confirmed.
    confirmed_seq: int | None = None
    carry_max: int = 0
    min_items: int = 1


@dataclass(frozen=True, slots=True)
class Mail:
    """An edition's mail to the person; its reply without addresses."""

    delivery_id: int
    state: DeliveryState
    changed_at: datetime
    next_at: datetime
    attempt: int
    reply_code: int | None = None
    reply_text: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """Another article of the same story that the person got."""

    article_id: int
    title: str
    edition_id: int


@dataclass(frozen=True, slots=True)
class Look:
    """An edition that had the article to decide about for this person, or will have."""

    edition_id: int
    kind: EditionKind
    state: EditionState
    due_at: datetime
    reason: str | None = None
    composed_at: datetime | None = None
    missed: CatchUp | None = None
    #: Cancelled so that its articles are not carried over.
    drops_articles: bool = False
    #: Its operator took this article out.
    curated_out: bool = False
    #: It waits until an earlier mail to some people has ended.
    waiting: bool = False
    mail: Mail | None = None
    #: What it came to for their group, where there is no mail.
    group: GroupOutcome | None = None
    #: Their topics when it was composed; None where that is not known.
    topics: tuple[str, ...] | None = None
    #: Editions in a row with too few articles, up to this one.
    carried: int = 0
    #: What became of the article; None: it was not among those for them.
    outcome: ItemOutcome | None = None
    instead: Told | None = None


@dataclass(frozen=True, slots=True)
class Jump:
    """Articles `(from_seq, to_seq]` that somebody did not want, at the end of a pause."""

    at: datetime
    from_seq: int
    to_seq: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """An operator keeps the article out of the newsletter."""

    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All that an answer is made of."""

    article: AskedArticle
    reader: AskedReader
    now: datetime
    #: Parts of the newsletter's choice of articles that do not hold for this one.
    refused_by: tuple[str, ...] = ()
    dropped: Dropped | None = None
    #: In the order of the editions.
    looks: Sequence[Look] = ()
    jumps: Sequence[Jump] = ()
    #: An earlier edition whose mail to them has not ended, and holds up the next.
    under_way: int | None = None
    #: When their schedule comes due next; None: never, or whenever an article is there.
    next_due_at: datetime | None = None
    #: Their schedule follows the articles.
    each_article: bool = False

    @property
    def settled(self) -> bool:
        """Whether the article is decided about for good."""
        seq, cursor = self.article.seq, self.reader.cursor
        return seq is not None and cursor is not None and seq <= cursor
