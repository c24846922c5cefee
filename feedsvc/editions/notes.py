"""Pinned notes: a few words of the operator above the articles of a newsletter, for a while."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import CursorResult, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.wording import read_markdown
from feedsvc.errors import NotFound, TextUnusable
from feedsvc.model.language import language_tag
from feedsvc.model.newsletter import Newsletter, PinnedNote

#: Characters of a note.
NOTE_LIMIT = 2_000


async def add_note(
    session: AsyncSession,
    newsletter_id: int,
    text: str,
    *,
    starts_at: datetime,
    ends_at: datetime | None,
    language: str | None,
    by: str,
    now: datetime,
) -> PinnedNote:
    """Have Markdown stand in editions due from `starts_at` to before `ends_at`.

    Args:
        ends_at: None for ever.
        language: only in mails in this language, whatever its region; None: in all.

    Raises:
        TextUnusable: it is empty or too long, or its time is over before it begins.
    """
    cleaned = read_markdown(text, NOTE_LIMIT, "the note")
    if not cleaned:
        raise TextUnusable("the note says nothing")
    if ends_at is not None and ends_at <= max(starts_at, now):
        raise TextUnusable("the note ends before an edition could hold it")
    note = PinnedNote(
        newsletter_id=newsletter_id,
        text=cleaned,
        language=language_tag(language) if language else None,
        starts_at=starts_at,
        ends_at=ends_at,
        created_at=now,
        created_by=by,
    )
    session.add(note)
    await session.flush()
    return note


async def list_notes(
    session: AsyncSession, newsletter: str | None = None
) -> list[tuple[PinnedNote, str]]:
    """All notes with the key of their newsletter, in the order they stand in; those over, too."""
    query = (
        select(PinnedNote, col(Newsletter.key))
        .join(Newsletter, col(Newsletter.id) == col(PinnedNote.newsletter_id))
        .order_by(col(Newsletter.key), col(PinnedNote.starts_at), col(PinnedNote.id))
    )
    if newsletter is not None:
        query = query.where(col(Newsletter.key) == newsletter)
    return [(note, key) for note, key in (await session.execute(query)).all()]


async def remove_note(session: AsyncSession, note_id: int) -> None:
    """Have a note stand in no edition composed from now on. Raises NotFound."""
    result = await session.execute(delete(PinnedNote).where(col(PinnedNote.id) == note_id))
    assert isinstance(result, CursorResult)
    if not result.rowcount:
        raise NotFound(f"there is no note {note_id}; feedsvc notes list shows them")


async def load_notes(
    session: AsyncSession, newsletter_id: int, due_at: datetime, language: str
) -> list[str]:
    """Markdown of the notes that stand in an edition due then, in mails in this language."""
    rows = await session.execute(
        select(PinnedNote)
        .where(
            col(PinnedNote.newsletter_id) == newsletter_id,
            col(PinnedNote.starts_at) <= due_at,
            or_(col(PinnedNote.ends_at).is_(None), col(PinnedNote.ends_at) > due_at),
        )
        .order_by(col(PinnedNote.starts_at), col(PinnedNote.id))
    )
    return [note.text for note in _in_language(rows.scalars().all(), language)]


def _in_language(notes: Sequence[PinnedNote], language: str) -> list[PinnedNote]:
    return [
        note
        for note in notes
        if note.language is None or _primary(note.language) == _primary(language)
    ]


def _primary(tag: str) -> str:
    return language_tag(tag).partition("-")[0]
