"""Files that are being written: left alone until they are quiet, but not for ever."""

from collections.abc import Callable
from pathlib import Path

import pytest

from feedsvc.sources.files import PATIENCE_SECONDS, FileSource
from feedsvc.sources.folder import ARTICLE_TYPES

Write = Callable[..., Path]
#: The second at which each of these tests begins.
NOW = 1_700_000_000.0


class Clock:
    """Seconds since the epoch, as told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(folder: Path, clock: Clock) -> FileSource:
    return FileSource("news", folder, ARTICLE_TYPES, clock=clock)


def test_a_file_just_written_is_not_read_yet(source: FileSource, write: Write) -> None:
    write("a.md", "half", at=NOW - 0.2)
    write("b.md", "whole", at=NOW - 60)
    scan = source.scan({})
    assert [item.key for item in scan.items] == ["b.md"]
    assert scan.present["a.md"] == ""
    assert (scan.unsettled, scan.problems) == (True, ())


def test_a_known_file_that_is_being_written_counts_as_it_was_known(
    source: FileSource, write: Write
) -> None:
    write("a.md", "half", at=NOW)
    scan = source.scan({"a.md": "known"})
    assert (scan.present, scan.items, scan.unsettled) == ({"a.md": "known"}, (), True)


def test_a_file_is_read_when_it_has_been_quiet_for_a_second(
    source: FileSource, write: Write, clock: Clock
) -> None:
    write("a.md", "whole", at=NOW)
    clock.now += 1.0
    scan = source.scan({})
    assert ([item.content for item in scan.items], scan.unsettled) == ([b"whole"], False)


def test_a_file_is_read_when_it_is_as_it_was_at_the_last_scan(
    source: FileSource, write: Write, clock: Clock
) -> None:
    write("a.md", "whole", at=NOW)
    assert source.scan({}).unsettled
    clock.now += 0.5
    scan = source.scan({})
    assert ([item.content for item in scan.items], scan.unsettled) == ([b"whole"], False)


def test_a_writer_that_pauses_is_waited_for(source: FileSource, write: Write, clock: Clock) -> None:
    for second in range(3):
        clock.now = NOW + second
        write("a.md", "part " * second, at=clock.now - 0.1)
        assert source.scan({}).items == ()
    clock.now += 1
    assert [item.content for item in source.scan({}).items] == [b"part part "]


def test_a_file_that_is_never_quiet_is_read_at_last_and_holds_nothing_up(
    source: FileSource, write: Write, clock: Clock
) -> None:
    for second in range(int(PATIENCE_SECONDS)):
        clock.now = NOW + second
        write("log.txt", "line\n" * second, at=clock.now)
        assert source.scan({}).unsettled
    for second in range(int(PATIENCE_SECONDS), int(PATIENCE_SECONDS) + 3):
        clock.now = NOW + second
        write("log.txt", "line\n" * second, at=clock.now)
        scan = source.scan({})
        assert (len(scan.items), scan.unsettled) == (1, False)


@pytest.mark.parametrize("at", [NOW + 0.5, NOW + 86_400, 0.0, NOW - 1.0])
def test_a_stamp_in_the_future_or_long_past_is_no_reason_to_wait(
    source: FileSource, write: Write, at: float
) -> None:
    write("a.md", "text", at=at)
    scan = source.scan({})
    assert (len(scan.items), scan.unsettled) == (1, False)


def test_a_file_read_already_is_not_unsettled_by_being_young(
    source: FileSource, write: Write, clock: Clock
) -> None:
    write("a.md", "text", at=NOW + 0.5)
    known = source.scan({}).present
    clock.now += 0.6
    assert not source.scan(known).unsettled
