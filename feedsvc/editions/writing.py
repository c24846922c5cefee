"""What an operator writes to subscribers, checked, and made into an edition.

An announcement is for whom it names; a correction is for those who got the article it is about.
"""

import unicodedata
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.recipients import EVERYBODY, Addressees, Recipients
from feedsvc.editions.wording import read_markdown
from feedsvc.errors import TextUnusable
from feedsvc.model.article import Counter
from feedsvc.model.edition import Edition, EditionKind, EditionState, Letter, Wave

SUBJECT_LENGTH = 200
BODY_LENGTH = 100_000
#: A letter's one wave is for every zone.
EVERYWHERE = "*"


@dataclass(frozen=True, slots=True)
class Writing:
    """What an operator has written, and for whom; checked by `read_writing`."""

    subject: str
    #: Markdown.
    body: str
    addressees: Addressees = EVERYBODY
    #: Of a correction: what its readers got.
    article_id: int | None = None

    @property
    def kind(self) -> EditionKind:
        """The kind of edition it makes."""
        is_correction = self.article_id is not None
        return EditionKind.CORRECTION if is_correction else EditionKind.ANNOUNCEMENT

    def recipients(self, newsletter_id: int) -> Recipients:
        """Whom it is for, of a newsletter's subscribers."""
        return Recipients(newsletter_id, self.addressees, self.article_id)


def read_writing(
    subject: str, body: str, addressees: Addressees = EVERYBODY, article_id: int | None = None
) -> Writing:
    """What was written, made storable.

    Raises:
        TextUnusable: the subject or the body is empty or too long, or the subject has characters
            that no header can hold.
    """
    title = " ".join(unicodedata.normalize("NFC", subject).split())
    if not title:
        raise TextUnusable("a letter needs a subject")
    if len(title) > SUBJECT_LENGTH:
        raise TextUnusable(
            f"the subject has {len(title)} characters; at most {SUBJECT_LENGTH} are taken"
        )
    # SECURITY: a line end in a header would begin another one.
    if any(unicodedata.category(one) in ("Cc", "Cs") for one in title):
        raise TextUnusable("the subject holds control characters")
    text = read_markdown(body, BODY_LENGTH, "the letter")
    if not text:
        raise TextUnusable("the letter is empty")
    return Writing(title, text, addressees, article_id)


async def make_letter(
    session: AsyncSession,
    newsletter_id: int,
    writing: Writing,
    *,
    due_at: datetime,
    now: datetime,
    by: str = "operator",
    draft: bool = False,
) -> int:
    """Make the edition of a letter, to be composed when it is due; its id.

    A draft waits for approval however long that takes: a letter, unlike a digest, never goes by
    itself, so its edition has no time by which it must be approved.
    """
    cut_seq = await session.scalar(select(col(Counter.value)).where(col(Counter.name) == "seq"))
    edition = Edition(
        newsletter_id=newsletter_id,
        kind=writing.kind,
        period=now.isoformat(),
        state=EditionState.DRAFT if draft else EditionState.COMPOSING,
        due_at=None if draft else due_at,
        created_at=now,
    )
    session.add(edition)
    await session.flush()
    edition_id = edition.id or 0
    session.add(Wave(edition_id=edition_id, zone=EVERYWHERE, due_at=due_at, cut_seq=cut_seq or 0))
    session.add(
        Letter(
            edition_id=edition_id,
            subject=writing.subject,
            body=writing.body,
            audience=writing.addressees.stored(),
            article_id=writing.article_id,
            created_by=by,
        )
    )
    await session.flush()
    return edition_id
