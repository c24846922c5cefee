"""A pinned note stands in the editions due in its time, in the language it is written in."""

from datetime import timedelta

import pytest
from edition_desk import NOW, Desk

from feedsvc.editions.notes import NOTE_LIMIT, add_note, list_notes, load_notes, remove_note
from feedsvc.errors import NotFound, TextUnusable
from feedsvc.model.newsletter import Newsletter

pytestmark = pytest.mark.anyio
HOUR = timedelta(hours=1)


async def pin(
    desk: Desk,
    text: str = "放假通知",
    language: str | None = None,
    begins: timedelta = timedelta(),
    ends: timedelta | None = None,
) -> int:
    async with desk.database.write() as session:
        note = await add_note(
            session,
            desk.newsletter_id,
            text,
            starts_at=NOW + begins,
            ends_at=NOW + ends if ends is not None else None,
            language=language,
            by="operator",
            now=NOW,
        )
        return note.id or 0


async def stand(desk: Desk, after: timedelta, language: str = "zh-CN") -> list[str]:
    """What stands in an edition due then."""
    async with desk.database.read() as session:
        return await load_notes(session, desk.newsletter_id, NOW + after, language)


@pytest.mark.parametrize(
    ("after", "stands"),
    [
        (timedelta(minutes=59), False),
        (HOUR, True),
        (2 * HOUR - timedelta(seconds=1), True),
        (2 * HOUR, False),
    ],
    ids=["before", "at its beginning", "within", "at its end"],
)
async def test_a_note_stands_from_its_beginning_to_before_its_end(
    desk: Desk, after: timedelta, stands: bool
) -> None:
    await pin(desk, begins=HOUR, ends=2 * HOUR)
    await pin(desk, "for ever", begins=-HOUR)
    assert await stand(desk, after) == ["for ever", *(["放假通知"] if stands else [])]


@pytest.mark.parametrize(
    ("note", "reader", "stands"),
    [
        (None, "zh-CN", True),
        (None, "en", True),
        ("zh", "zh-TW", True),
        ("zh_cn", "zh", True),
        ("zh-Hans", "zh-CN", True),
        ("zh", "en", False),
        ("en-GB", "en-US", True),
        ("EN", "en", True),
    ],
)
async def test_a_note_stands_in_mails_in_its_language_whatever_the_region(
    desk: Desk, note: str | None, reader: str, stands: bool
) -> None:
    await pin(desk, language=note)
    assert await stand(desk, HOUR, reader) == (["放假通知"] if stands else [])


async def test_notes_stand_in_the_order_they_begin_and_only_in_their_newsletter(
    desk: Desk,
) -> None:
    await pin(desk, "second", begins=HOUR)
    await pin(desk, "third", begins=HOUR)
    await pin(desk, "first")
    async with desk.database.write() as session:
        other = Newsletter(
            key="weekly",
            title="周刊",
            language="zh-CN",
            from_name="新闻",
            from_address="news@example.com",
            sender="示例报社",
            postal_address="上海市示例路 1 号",
        )
        session.add(other)
        await session.flush()
    assert await stand(desk, 2 * HOUR) == ["first", "second", "third"]
    async with desk.database.read() as session:
        assert await load_notes(session, other.id or 0, NOW + HOUR, "zh") == []
        assert [(note.text, key) for note, key in await list_notes(session)] == [
            ("first", "daily"),
            ("second", "daily"),
            ("third", "daily"),
        ]
        assert await list_notes(session, "weekly") == []


async def test_a_removed_note_stands_nowhere(desk: Desk) -> None:
    note = await pin(desk)
    async with desk.database.write() as session:
        await remove_note(session, note)
    assert await stand(desk, HOUR) == []
    with pytest.raises(NotFound, match=f"no note {note}; feedsvc notes list"):
        async with desk.database.write() as session:
            await remove_note(session, note)


@pytest.mark.parametrize(
    ("text", "ends", "problem"),
    [
        (" \n\x00", None, "says nothing"),
        ("字" * (NOTE_LIMIT + 1), None, "the note has 2001 characters; at most 2000 are taken"),
        ("好", timedelta(), "ends before an edition could hold it"),
        ("好", -HOUR, "ends before an edition could hold it"),
    ],
    ids=["empty", "long", "no time", "over"],
)
async def test_a_note_that_nobody_could_read_is_refused(
    desk: Desk, text: str, ends: timedelta | None, problem: str
) -> None:
    with pytest.raises(TextUnusable, match=problem):
        await pin(desk, text, ends=ends)
    async with desk.database.read() as session:
        assert await list_notes(session) == []


async def test_a_note_is_kept_without_what_cannot_be_stored(desk: Desk) -> None:
    await pin(desk, "**放假**\r\n十月\x00七日\ud800\t回来 ")
    assert await stand(desk, HOUR) == ["**放假**\n十月七日\t回来"]
