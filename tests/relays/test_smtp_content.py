"""A message cannot be read as two, nor end early, whatever is in it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.relays.smtp_content import UnwritableContent, prepare_content


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"a\r\n", b"a\r\n"),
        (b"a", b"a\r\n"),
        (b"", b"\r\n"),
        (b".a\r\n.b\r\n", b"..a\r\n..b\r\n"),
        (b".\r\n", b"..\r\n"),
        (b"a\n.b\rc", b"a\r\n..b\r\nc\r\n"),
        (b"a\r\r\nb", b"a\r\n\r\nb\r\n"),
    ],
)
def test_dots_are_doubled_and_line_ends_mended(content: bytes, wire: bytes) -> None:
    assert prepare_content(content)[0] == wire


def test_the_size_told_does_not_count_doubled_dots() -> None:
    assert prepare_content(b".a\n.b") == (b"..a\r\n..b\r\n", 8)


def test_the_longest_line_there_may_be_is_written() -> None:
    line = b"." + b"x" * 997
    assert prepare_content(line + b"\r\n")[0] == b"." + line + b"\r\n"


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b""])
def test_a_longer_line_is_not_written(end: bytes) -> None:
    with pytest.raises(UnwritableContent, match="998"):
        prepare_content(b"Subject: x\r\n\r\n" + b"x" * 999 + end)


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"\r\n.\r\n"]), max_size=30))
@settings(max_examples=300, deadline=None)
def test_whatever_is_in_it_the_dot_ends_it_and_nothing_before(pieces: list[bytes]) -> None:
    wire = prepare_content(b"".join(pieces))[0] + b".\r\n"
    lines = wire.split(b"\r\n")
    assert lines[-2:] == [b".", b""]
    assert not any(line == b"." or b"\r" in line or b"\n" in line for line in lines[:-2])
