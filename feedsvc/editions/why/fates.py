"""What can have become of an article for a person, and how it is answered."""

from dataclasses import dataclass
from enum import StrEnum

from feedsvc.editions.why.facts import Look


class Fate(StrEnum):
    """What became of an article for a person."""

    #: A relay took the mail that shows it.
    ARRIVED = "arrived"
    #: Counted under "and n more" in a mail they got.
    AND_MORE = "and_more"
    #: In a mail that is to be sent, or tried again.
    ON_ITS_WAY = "on_its_way"
    #: In a mail of an edition that was paused.
    EDITION_PAUSED = "edition_paused"
    #: In a mail that may have arrived, and waits for a person to decide.
    HELD = "held"
    #: In a mail that may have arrived; the article comes again.
    UNCERTAIN = "uncertain"
    #: In a mail that was refused; the article comes again.
    FAILED = "failed"
    #: In a mail that could not be sent in time; the article comes again.
    EXPIRED = "expired"
    #: In a mail that a later edition took over.
    SUPERSEDED = "superseded"
    #: In a mail that was not sent, because the person could not be mailed just then.
    SKIPPED = "skipped"
    #: Withdrawn before it could be mailed.
    WITHDRAWN = "withdrawn"
    #: An operator took it out of the edition.
    DROPPED_FROM_EDITION = "dropped_from_edition"
    #: An operator keeps it out of the newsletter.
    DROPPED_FROM_NEWSLETTER = "dropped_from_newsletter"
    #: They got another article that tells the same.
    DUPLICATE = "duplicate"
    #: The newsletter does not hold such articles.
    NOT_SELECTED = "not_selected"
    #: They chose other topics.
    OTHER_TOPICS = "other_topics"
    #: It would be theirs now, but was not when its edition was composed.
    NOT_THEIRS_THEN = "not_theirs_then"
    #: It was there when its source was first read, or imported: nobody is mailed it.
    NOT_ANNOUNCED = "not_announced"
    #: Published before they confirmed.
    BEFORE_CONFIRMATION = "before_confirmation"
    #: Its publication is still to come.
    SCHEDULED = "scheduled"
    #: Kept back by its author or the operator.
    HELD_BACK = "held_back"
    #: It comes with the next edition.
    COMES_NEXT = "comes_next"
    #: It is in an edition that waits for approval.
    IN_DRAFT = "in_draft"
    #: Its edition is being written at this moment.
    BEING_COMPOSED = "being_composed"
    #: It comes when an earlier mail to them has ended.
    WAITING = "waiting"
    #: Too few articles for a mail: it waits for more.
    CARRIED = "carried"
    #: Its edition was a draft that did not go; the article comes with the next.
    EDITION_SKIPPED = "edition_skipped"
    #: Its edition was cancelled; the article comes with the next.
    CANCELLED = "cancelled"
    #: Its edition was cancelled, and the articles with it.
    CANCELLED_DROPPED = "cancelled_dropped"
    #: Its edition was missed; the article comes with the next.
    MISSED = "missed"
    #: Its edition was missed, and the articles with it.
    MISSED_DROPPED = "missed_dropped"
    #: They have paused.
    PAUSED = "paused"
    #: They paused, and went on with what was published afterwards.
    SKIPPED_BY_PAUSE = "skipped_by_pause"
    #: They have not confirmed.
    NOT_CONFIRMED = "not_confirmed"
    #: They have left.
    UNSUBSCRIBED = "unsubscribed"
    #: Their address does not exist.
    ADDRESS_DEAD = "address_dead"
    #: They called a mail spam.
    COMPLAINED = "complained"
    #: Their schedule is not in the configuration any more.
    STRANDED = "stranded"
    #: The newsletter is not in the configuration any more.
    RETIRED = "retired"
    #: Their schedule never comes due.
    NEVER_DUE = "never_due"
    #: It is settled, and nothing that is still stored says how.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer, and the edition that decided it, if one did."""

    outcome: Fate
    sentence: str
    edition_id: int | None = None


def answer(outcome: Fate, sentence: str, look: Look) -> Explanation:
    """An answer that an edition gave."""
    return Explanation(outcome, sentence, look.edition_id)
