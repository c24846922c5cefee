"""What is remembered of a source between scans: its articles' keys, its problems, how it went."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.articles.changes import Changes, known_fingerprints
from feedsvc.articles.moves import StoredItem
from feedsvc.articles.text import strip_unstorable
from feedsvc.model.article import Article, Problem, Scan, Source, SourceProblem

#: Fingerprint of the problems of files that could not even be read.
_UNREAD = ""
#: Values bound in one statement at most; SQLite and PostgreSQL both stop in the thousands.
_PIECE = 500

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """What is to be compared with the next scan of a source."""

    stored: dict[str, StoredItem]
    #: Key -> fingerprint of bytes that are no article.
    broken: dict[str, str]
    #: No scan of it has been carried out to its end: what it holds now is not announced.
    first_scan: bool
    #: Name of the settings and the reader (`parse.name_reading`) it was all last read with.
    read_with: str | None = None

    @property
    def fingerprints(self) -> dict[str, str]:
        """For `SourcePort.scan`: key -> fingerprint of what need not be read again."""
        return known_fingerprints(self.stored, self.broken)

    def fingerprints_for(self, reading: str) -> dict[str, str]:
        """The same, or, if it was last read in another way, the keys alone: read everything."""
        if self.read_with == reading:
            return self.fingerprints
        return dict.fromkeys(self.fingerprints, "")


async def load_known(session: AsyncSession, source: str) -> Known:
    """Everything about a source that the next scan is compared with."""
    row = await session.get(Source, source)
    return Known(
        stored=await load_stored(session, source),
        broken=await load_broken(session, source),
        first_scan=row is None or row.first_complete_scan_at is None,
        read_with=row.read_with if row is not None else None,
    )


async def load_stored(session: AsyncSession, source: str) -> dict[str, StoredItem]:
    """What we hold of a source, by key; withdrawn articles too."""
    rows = await session.execute(
        select(
            col(Article.id), col(Article.source_key), col(Article.fingerprint), col(Article.state)
        ).where(col(Article.source) == source)
    )
    return {
        key: StoredItem(article_id or 0, key, fingerprint, state)
        for article_id, key, fingerprint, state in rows
    }


async def load_broken(session: AsyncSession, source: str) -> dict[str, str]:
    """Key -> fingerprint of what was read and is no article."""
    rows = await session.execute(
        select(col(SourceProblem.source_key), col(SourceProblem.fingerprint)).where(
            col(SourceProblem.source) == source, col(SourceProblem.fingerprint) != _UNREAD
        )
    )
    return {row.source_key: row.fingerprint for row in rows}


async def load_problems(session: AsyncSession, source: str) -> list[SourceProblem]:
    """What an operator should mend in a source, by place."""
    rows = await session.execute(
        select(SourceProblem)
        .where(col(SourceProblem.source) == source)
        .order_by(col(SourceProblem.location))
    )
    return list(rows.scalars())


async def load_left_from_first_scan(
    session: AsyncSession, source: str, names: Sequence[str]
) -> frozenset[str]:
    """Which of these keys or places the first complete scan saw but could not read.

    What a source holds at its first complete scan is not announced, mended or not.
    """
    row = await session.get(Source, source)
    if row is None or row.first_complete_scan_at is None:
        return frozenset()
    found: set[str] = set()
    for piece in _pieces(names):
        rows = await session.execute(
            select(col(SourceProblem.source_key)).where(
                col(SourceProblem.source) == source,
                col(SourceProblem.source_key).in_(piece),
                col(SourceProblem.seen_at) <= row.first_complete_scan_at,
            )
        )
        found.update(rows.scalars())
    return frozenset(found)


async def save_problem(
    session: AsyncSession,
    source: str,
    key: str,
    problem: Problem,
    *,
    now: datetime,
    fingerprint: str = _UNREAD,
) -> None:
    """Note what is wrong with one item; `seen_at` stays when it was first seen."""
    row = await session.get(SourceProblem, (source, key))
    if row is None:
        row = SourceProblem(
            source=source, source_key=key, fingerprint="", location="", reason="", seen_at=now
        )
        session.add(row)
    row.fingerprint = fingerprint
    row.location = strip_unstorable(problem.location)[:2000]
    row.line = problem.line
    row.reason = strip_unstorable(problem.reason)


async def forget_problems(session: AsyncSession, source: str, keys: Iterable[str]) -> None:
    """Drop the problems of these keys, if they had any."""
    for piece in _pieces(list(keys)):
        await session.execute(
            delete(SourceProblem).where(
                col(SourceProblem.source) == source, col(SourceProblem.source_key).in_(piece)
            )
        )


async def reopen_first_scan(session: AsyncSession, source: str) -> None:
    """Note that what a source holds now counts as held at first, though it was scanned before.

    So it is even if the process dies before everything has been stored.
    """
    row = await session.get(Source, source)
    if row is not None and row.first_complete_scan_at is not None:
        _log.info("the archive of a source that was empty is not announced", source=source)
        row.first_complete_scan_at = None


async def finish_scan(
    session: AsyncSession,
    scan: Scan,
    changes: Changes,
    *,
    now: datetime,
    changed: bool,
    read_with: str | None = None,
) -> None:
    """Note that everything one scan asked for has been carried out.

    What was left unread because it is being written may belong to what the source holds at first,
    and has not been read in a new way: an unsettled scan leaves both open.

    Args:
        scan: what was seen; its problems replace those of the scan before.
        changes: what was decided about it.
        now: when.
        changed: whether any article is different from before.
        read_with: name of the settings and the reader it was read with; None leaves it open.
    """
    row = await _source_row(session, scan.source)
    if changes.first_scan:
        row.first_complete_scan_at = None if scan.unsettled else now
    if not scan.unsettled:
        row.read_with = read_with
    row.last_scan_at, row.error = now, None
    if changed:
        row.last_change_at = now
    await forget_problems(session, scan.source, changes.settled)
    await _replace_unread(session, scan, now)
    await session.flush()


async def fail_scan(session: AsyncSession, source: str, reason: str, now: datetime) -> None:
    """Note that a scan was refused as a whole; nothing else about the source changes."""
    row = await _source_row(session, source)
    row.last_scan_at, row.error = now, strip_unstorable(reason)
    await session.flush()


async def _source_row(session: AsyncSession, key: str) -> Source:
    row = await session.get(Source, key)
    if row is None:
        row = Source(key=key)
        session.add(row)
    return row


async def _replace_unread(session: AsyncSession, scan: Scan, now: datetime) -> None:
    unread = {strip_unstorable(one.location)[:1000]: one for one in scan.problems}
    rows = await session.execute(
        select(col(SourceProblem.source_key)).where(
            col(SourceProblem.source) == scan.source, col(SourceProblem.fingerprint) == _UNREAD
        )
    )
    await forget_problems(
        session, scan.source, [key for key in rows.scalars() if key not in unread]
    )
    for key, problem in unread.items():
        await save_problem(session, scan.source, key, problem, now=now)


def _pieces(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _PIECE):
        yield names[start : start + _PIECE]
