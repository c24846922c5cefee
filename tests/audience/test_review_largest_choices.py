"""The most that somebody may choose can be stored wherever readers are grouped by it."""

import hashlib
import json
from datetime import UTC, datetime

import pytest

from feedsvc.audience.preferences import MAX_TOPICS, MAX_TOPICS_BYTES, read_topics
from feedsvc.db.engine import Database
from feedsvc.errors import ChoiceInvalid
from feedsvc.model.edition import Edition, GroupOutcome, ReaderGroupRow, Wave
from feedsvc.model.newsletter import Newsletter

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def _topic(number: int, length: int) -> str:
    """Chinese characters without a pattern, which no database can make smaller."""
    digest = hashlib.shake_128(b"%d" % number).digest(2 * length)
    numbers = (int.from_bytes(digest[at : at + 2], "big") for at in range(0, 2 * length, 2))
    return "".join(chr(0x4E00 + one % 0x5000) for one in numbers)


def _fill(topics: list[str], length: int) -> list[str]:
    """As many as can be chosen."""
    for number in range(MAX_TOPICS):
        try:
            topics = read_topics([*topics, _topic(number, length)])
        except ChoiceInvalid:
            break
    return topics


@pytest.mark.parametrize("length", [1, 11, 100])
async def test_the_largest_choice_of_topics_fits_the_index_of_readers(
    database: Database, length: int
) -> None:
    topics = _fill([], length)
    if length == 11:
        assert len(json.dumps(topics, ensure_ascii=False).encode()) > MAX_TOPICS_BYTES - 50
    async with database.write() as session:
        newsletter = Newsletter(
            key="daily",
            title="晨报",
            language="zh",
            from_name="",
            from_address="news@example.com",
            sender="示例报社",
            postal_address="上海",
        )
        session.add(newsletter)
        await session.flush()
        edition = Edition(newsletter_id=newsletter.id or 0, period="p", created_at=NOW)
        session.add(edition)
        await session.flush()
        wave = Wave(edition_id=edition.id or 0, zone="z", due_at=NOW, cut_seq=2**31 - 1)
        session.add(wave)
        await session.flush()
        session.add(
            ReaderGroupRow(
                wave_id=wave.id or 0,
                from_seq=2**31 - 1,
                topics=topics,
                language="zh-" + "a" * 8 + "-" + "b" * 8 + "-" + "c" * 8,
                carried=99,
                had=2**31 - 1,
                outcome=GroupOutcome.NOTHING,
            )
        )
