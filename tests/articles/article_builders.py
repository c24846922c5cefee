"""Builders for the articles stage: raw items, scans, and what a pipeline does with one scan."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from types import MappingProxyType
from zoneinfo import ZoneInfo

from feedsvc.articles.changes import Changes, decide_changes
from feedsvc.articles.ingest import read_changes
from feedsvc.articles.parse import Defaults, name_reading
from feedsvc.articles.publish import publish_due
from feedsvc.articles.scans import Known, finish_scan, load_known
from feedsvc.articles.store import Stored, store_changes
from feedsvc.db.engine import Database
from feedsvc.model.article import MediaType, Problem, RawItem, Scan

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
DEFAULTS = Defaults(
    language="zh-CN",
    zone=ZoneInfo("Asia/Shanghai"),
    section=None,
    site_url="https://news.example",
)


def make_raw(
    text: str | bytes,
    *,
    key: str = "a.md",
    media_type: MediaType = MediaType.MARKDOWN,
    modified_at: datetime = NOW - timedelta(days=1),
    base_url: str | None = None,
    is_page: bool = False,
) -> RawItem:
    content = text.encode() if isinstance(text, str) else text
    return RawItem(
        source="blog",
        key=key,
        location=f"/articles/{key}",
        media_type=media_type,
        content=content,
        fingerprint=hashlib.sha256(content).hexdigest(),
        modified_at=modified_at,
        base_url=base_url,
        is_page=is_page,
    )


def make_scan(
    files: dict[str, str],
    *,
    problems: tuple[Problem, ...] = (),
    unread: tuple[str, ...] = (),
    known: Mapping[str, str] = MappingProxyType({}),
) -> Scan:
    """A scan that read every file but those being written, which it left as they were known."""
    items = tuple(make_raw(text, key=key) for key, text in files.items() if key not in unread)
    present = {item.key: item.fingerprint for item in items}
    left = {key: known.get(key, "") for key in unread}
    return Scan("blog", {**present, **left}, items, problems, unsettled=bool(unread))


def counting_bytes() -> Callable[[int], bytes]:
    """Bytes that are different at every call and the same in every run."""
    numbers = count(1)
    return lambda length: next(numbers).to_bytes(length, "big")


class Pipeline:
    """Does with a scan what the pipeline does: decide, read, store, finish, publish."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.random_bytes = counting_bytes()

    async def known(self) -> Known:
        async with self.database.read() as session:
            return await load_known(session, "blog")

    async def decide(
        self, scan: Scan, *, allow_mass_withdrawal: bool = False, defaults: Defaults = DEFAULTS
    ) -> Changes:
        known = await self.known()
        return decide_changes(
            scan,
            known.stored,
            known.broken,
            first_scan=known.first_scan,
            allow_mass_withdrawal=allow_mass_withdrawal,
            read_again=known.read_with != name_reading(defaults),
        )

    async def ingest(
        self,
        files: dict[str, str],
        *,
        now: datetime = NOW,
        problems: tuple[Problem, ...] = (),
        allow_mass_withdrawal: bool = False,
        stop_after: int | None = None,
        batch_size: int = 500,
        unread: tuple[str, ...] = (),
        announce_existing: bool = False,
        defaults: Defaults = DEFAULTS,
    ) -> Stored:
        """One whole scan; `stop_after` batches it dies, as a killed process would."""
        reading = name_reading(defaults)
        known = (await self.known()).fingerprints_for(reading)
        scan = make_scan(files, problems=problems, unread=unread, known=known)
        changes = await self.decide(
            scan, allow_mass_withdrawal=allow_mass_withdrawal, defaults=defaults
        )
        stored = Stored()
        for number, batch in enumerate(changes.batches(batch_size), 1):
            read = read_changes(batch, defaults)
            async with self.database.write() as session:
                stored += await store_changes(
                    session,
                    scan.source,
                    read,
                    now=now,
                    announce=announce_existing or not changes.first_scan,
                    random_bytes=self.random_bytes,
                )
            if number == stop_after:
                return stored
        async with self.database.write() as session:
            await finish_scan(
                session, scan, changes, now=now, changed=stored.anything, read_with=reading
            )
        async with self.database.write() as session:
            await publish_due(session, now)
        return stored
