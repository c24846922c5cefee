"""Replies are read the same however they are cut, and nothing that is none is taken for one."""

import re
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.relays.smtp_replies import (
    MAX_LINE_LENGTH,
    MAX_REPLY_LENGTH,
    MalformedReply,
    Reply,
    ReplyParser,
)

GROUP = (
    b"250 2.1.0 Ok\r\n"
    b"550-5.1.1 <carol@example.com>: " + "用户不存在".encode() + b"\r\n"
    b"550-\r\n550 5.1.1 see https://example.com/help\r\n"
    b"354 End data with <CR><LF>.<CR><LF>\r\n"
)
READ = [
    Reply(250, "2.1.0 Ok"),
    Reply(550, "5.1.1 <carol@example.com>: 用户不存在\n\n5.1.1 see https://example.com/help"),
    Reply(354, "End data with <CR><LF>.<CR><LF>"),
]


def read(*pieces: bytes) -> tuple[list[Reply], bool]:
    """All replies of these pieces, and whether they end with the end of a reply."""
    parser = ReplyParser()
    replies: list[Reply] = []
    for piece in pieces:
        parser.feed(piece, replies)
    return replies, parser.is_between


@pytest.mark.parametrize("at", range(len(GROUP) + 1))
def test_a_group_cut_in_two_is_read_as_if_it_were_whole(at: int) -> None:
    assert read(GROUP[:at], GROUP[at:]) == (READ, True)


def test_a_group_that_comes_octet_by_octet_is_read_as_if_it_were_whole() -> None:
    assert read(*(GROUP[at : at + 1] for at in range(len(GROUP)))) == (READ, True)


@pytest.mark.parametrize(
    ("wire", "reply"),
    [
        (b"250\r\n", Reply(250, "")),
        (b"250 \r\n", Reply(250, "")),
        (b"250 ok\n", Reply(250, "ok")),
        (b"250-a\n250 b\n", Reply(250, "a\nb")),
        (b"250-a\r\n250\r\n", Reply(250, "a\n")),
        (b"550 \xd3\xc3\xbb\xa7\r\n", Reply(550, "\udcd3û\udca7")),
    ],
    ids=["code alone", "no text", "bare lf", "lines with bare lf", "last line bare", "gbk"],
)
def test_what_servers_really_say_is_read(wire: bytes, reply: Reply) -> None:
    assert read(wire) == ([reply], True)


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"hello\r\n",
        b"25 ok\r\n",
        b"2500 ok\r\n",
        b"250_ok\r\n",
        b" 250 ok\r\n",
        b"+25 ok\r\n",
        b"199 ok\r\n",
        b"600 ok\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x15\x03\x01\x00\x02\x02\n",
        "２５０ ok\r\n".encode(),
        b"250-one\r\n550 two\r\n",
        b"250 " + b"x" * MAX_LINE_LENGTH + b"\r\n",
        b"x" * (MAX_LINE_LENGTH + 1),
        b"250-" + b"x" * 1000 + b"\r\n" + (b"250-" + b"x" * 1000 + b"\r\n") * 66,
    ],
)
def test_what_is_no_reply_is_not_read_as_one(wire: bytes) -> None:
    with pytest.raises(MalformedReply):
        read(wire)


def test_replies_before_a_malformed_one_are_kept() -> None:
    replies: list[Reply] = []
    with pytest.raises(MalformedReply):
        ReplyParser().feed(b"250 taken\r\nwhat?\r\n", replies)
    assert replies == [Reply(250, "taken")]


def test_a_begun_reply_is_known_to_be_unfinished() -> None:
    assert read(b"250 ok\r\n25") == ([Reply(250, "ok")], False)
    assert read(b"250-ok\r\n") == ([], False)


line_texts = st.text(
    st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=30
).map(str.strip)
told = st.lists(
    st.tuples(st.integers(200, 599), st.lists(line_texts, min_size=1, max_size=4)),
    min_size=1,
    max_size=5,
)


@given(told, st.lists(st.integers(0, 400), max_size=12), st.sampled_from([b"\r\n", b"\n"]))
@settings(max_examples=200, deadline=None)
def test_any_replies_are_read_whole_from_any_pieces(
    told: list[tuple[int, list[str]]], cuts: list[int], end: bytes
) -> None:
    wire = b""
    for code, lines in told:
        for number, line in enumerate(lines, 1):
            mark = b"-" if number < len(lines) else b" "
            wire += b"%d%b%b%b" % (code, mark, line.encode(), end)
    places = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    pieces = [wire[begin:stop] for begin, stop in pairwise(places)]
    assert read(*pieces) == ([Reply(code, "\n".join(lines)) for code, lines in told], True)


@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"250 ", b"250-", b"\r\n"]), max_size=20))
@settings(max_examples=300, deadline=None)
def test_any_octets_are_read_or_refused_and_never_kept_without_end(pieces: list[bytes]) -> None:
    parser = ReplyParser()
    replies: list[Reply] = []
    with suppress(MalformedReply):
        for piece in pieces:
            parser.feed(piece, replies)
    wire = b"".join(pieces)
    assert all(re.search(rb"(?:\A|\n)%d" % reply.code, wire) for reply in replies)
    assert sum(len(reply.text) for reply in replies) <= min(len(wire), MAX_REPLY_LENGTH)
