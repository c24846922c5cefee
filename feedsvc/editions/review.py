"""What a person does to a draft before it goes: leave out, put in order, introduce, approve.

Each changes the edition's row while it is held, and only while it is a draft: what was approved,
or has gone because nobody did so in time, is the same for all its waves.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, and_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.composing import load_dropped
from feedsvc.editions.control import edition_over, hold_edition
from feedsvc.editions.drafts import load_draft
from feedsvc.editions.dropped import keep_out, let_in
from feedsvc.editions.wording import read_markdown
from feedsvc.errors import EditionOver, NotFound
from feedsvc.model.article import Article, Counter
from feedsvc.model.edition import (
    OPEN_EDITIONS,
    Curation,
    Edition,
    EditionKind,
    EditionState,
    Wave,
)
from feedsvc.model.newsletter import Newsletter, Unapproved

#: Characters of an intro.
INTRO_LIMIT = 10_000

_LATER = "its articles come with the next edition"
_SKIPPED = "skipped by the operator"
_NOT_IN_TIME = f"nobody approved it in time; {_LATER}"


async def approve(session: AsyncSession, edition_id: int, by: str, now: datetime) -> bool:
    """Let a draft go as it is: each of its waves when it is due; False when it was approved.

    Raises:
        NotFound: there is no such edition.
        EditionOver: it does not wait for approval.
    """
    edition = await hold_edition(session, edition_id)
    if edition.state is not EditionState.DRAFT:
        was_approved = Curation.of(edition.curation).approved_at is not None
        if was_approved and edition.state in (*OPEN_EDITIONS, EditionState.DONE):
            return False
        raise edition_over(edition, "it does not wait for approval")
    curation = replace(
        await _settled(session, edition), approved_at=now.isoformat(), approved_by=by
    )
    await _change(session, edition_id, state=EditionState.COMPOSING, curation=curation.stored())
    return True


async def drop_article(
    session: AsyncSession,
    edition_id: int,
    article_id: int,
    by: str,
    now: datetime,
    *,
    for_good: bool = False,
) -> bool:
    """Leave an article out of a draft; False when it was left out like that already.

    Args:
        for_good: out of all later editions of its newsletter, too.

    Raises:
        NotFound: there is no such edition, or the draft does not hold the article.
        EditionOver: it is no draft any more.
    """
    edition = await _hold_digest(session, edition_id)
    if not for_good:
        await _check_articles(session, edition, [article_id])
    elif await session.get(Article, article_id) is None:
        raise NotFound(f"there is no article {article_id}")
    curation, is_new = Curation.of(edition.curation), False
    if for_good:
        is_new = await keep_out(session, edition.newsletter_id, article_id, by, now)
    if article_id in curation.dropped:
        return is_new
    curation = replace(curation, dropped=(*curation.dropped, article_id))
    await _change(session, edition_id, curation=curation.stored())
    return True


async def undrop_article(session: AsyncSession, edition_id: int, article_id: int) -> bool:
    """Have a draft hold an article again, and later editions too; False when none did without.

    Raises:
        NotFound: there is no such edition.
        EditionOver: it is no draft any more.
    """
    edition = await _hold_digest(session, edition_id)
    was_out = await let_in(session, edition.newsletter_id, article_id)
    curation = Curation.of(edition.curation)
    if article_id not in curation.dropped:
        return was_out
    left = tuple(one for one in curation.dropped if one != article_id)
    await _change(session, edition_id, curation=replace(curation, dropped=left).stored())
    return True


async def reorder(session: AsyncSession, edition_id: int, ids: Sequence[int]) -> None:
    """Have these articles of a draft come first, in this order; none: all in the usual order.

    Raises:
        NotFound: there is no such edition, or the draft does not hold one of them.
        EditionOver: it is no draft any more.
    """
    edition = await _hold_digest(session, edition_id)
    await _check_articles(session, edition, ids)
    curation = replace(Curation.of(edition.curation), order=tuple(dict.fromkeys(ids)))
    await _change(session, edition_id, curation=curation.stored())


async def set_intro(session: AsyncSession, edition_id: int, text: str) -> None:
    """Have Markdown stand above the articles of a draft; an empty text for nothing.

    Raises:
        NotFound: there is no such edition.
        EditionOver: it is no draft any more.
        TextUnusable: it is too long.
    """
    intro = read_markdown(text, INTRO_LIMIT, "the intro")
    edition = await _hold_digest(session, edition_id)
    curation = replace(Curation.of(edition.curation), intro=intro)
    await _change(session, edition_id, curation=curation.stored())


async def refresh(session: AsyncSession, edition_id: int) -> int:
    """Let a draft hold what has been published since it was made; its new cut.

    Raises:
        NotFound: there is no such edition.
        EditionOver: it is no draft any more.
    """
    edition = await _hold_digest(session, edition_id)
    newest = await session.scalar(select(col(Counter.value)).where(col(Counter.name) == "seq"))
    cut_seq = max(newest or 0, edition.cut_seq or 0)
    await _change(session, edition_id, cut_seq=cut_seq)
    await session.execute(
        update(Wave).where(col(Wave.edition_id) == edition_id).values(cut_seq=cut_seq)
    )
    return cut_seq


async def skip_draft(
    session: AsyncSession, edition_id: int, now: datetime, reason: str | None = None
) -> bool:
    """Send nothing of a draft; no cursor moves. False when it was skipped already.

    Raises:
        NotFound: there is no such edition.
        EditionOver: it is no draft any more.
    """
    edition = await hold_edition(session, edition_id)
    if edition.state is EditionState.SKIPPED:
        return False
    if edition.state is not EditionState.DRAFT:
        raise edition_over(edition, "it is no draft any more; feedsvc editions cancel gives it up")
    is_digest = edition.kind is EditionKind.DIGEST
    why = reason or (f"{_SKIPPED}; {_LATER}" if is_digest else _SKIPPED)
    await _skip(session, edition_id, why, now)
    return True


async def close_due_drafts(session: AsyncSession, now: datetime) -> list[int]:
    """Decide about drafts that nobody has approved in time, by the rule of their newsletter.

    May run any number of times, on any number of nodes.

    Returns:
        Ids of those that go as they are; the others are skipped.
    """
    rows = await session.execute(
        select(Edition, col(Newsletter.unapproved))
        .join(Newsletter, col(Newsletter.id) == col(Edition.newsletter_id))
        .where(_is_due(now))
        .order_by(col(Edition.id))
        .with_for_update(of=Edition, key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    going = []
    for edition, rule in rows.all():
        number = edition.id or 0
        if rule is Unapproved.SKIP:
            await _skip(session, number, _NOT_IN_TIME, now)
            continue
        curation = await _settled(session, edition)
        if await _change(session, number, state=EditionState.COMPOSING, curation=curation.stored()):
            going.append(number)
    return going


async def has_due_drafts(session: AsyncSession, now: datetime) -> bool:
    """Whether `close_due_drafts` has something to decide."""
    return (
        await session.execute(select(col(Edition.id)).where(_is_due(now)).limit(1))
    ).first() is not None


def _is_due(now: datetime) -> ColumnElement[bool]:
    # What an operator wrote goes by their word alone.
    return and_(
        col(Edition.state) == EditionState.DRAFT,
        col(Edition.kind) == EditionKind.DIGEST,
        col(Edition.due_at) <= now,
    )


async def _settled(session: AsyncSession, edition: Edition) -> Curation:
    """Its curation with what is kept out for good in it: waves to come hold the same."""
    curation = Curation.of(edition.curation)
    kept_out = await load_dropped(session, edition.newsletter_id)
    more = sorted(kept_out - set(curation.dropped))
    return replace(curation, dropped=(*curation.dropped, *more))


async def _hold_digest(session: AsyncSession, edition_id: int) -> Edition:
    edition = await hold_edition(session, edition_id)
    if edition.state is not EditionState.DRAFT:
        raise edition_over(edition, "it is no draft any more, and cannot be changed")
    if edition.kind is not EditionKind.DIGEST:
        raise EditionOver(f"edition {edition_id} is an {edition.kind}: it holds no articles")
    return edition


async def _check_articles(session: AsyncSession, edition: Edition, ids: Sequence[int]) -> None:
    held = (await load_draft(session, edition)).articles if ids else {}
    missing = [str(one) for one in dict.fromkeys(ids) if one not in held]
    if missing:
        raise NotFound(
            f"not in edition {edition.id}: {', '.join(missing)};"
            f" feedsvc editions show {edition.id} lists its articles"
        )


async def _skip(session: AsyncSession, edition_id: int, reason: str, now: datetime) -> None:
    await _change(
        session,
        edition_id,
        state=EditionState.SKIPPED,
        reason=reason,
        open_until=None,
        done_at=now,
    )
    await session.execute(
        update(Wave)
        .where(col(Wave.edition_id) == edition_id, col(Wave.composed_at).is_(None))
        .values(composed_at=now)
    )


async def _change(session: AsyncSession, edition_id: int, **values: Any) -> bool:
    """Change a draft's row; whether it was one."""
    result = await session.execute(
        update(Edition)
        .where(col(Edition.id) == edition_id, col(Edition.state) == EditionState.DRAFT)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount > 0
