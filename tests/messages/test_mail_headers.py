"""Header fields, read back by the standard library."""

from base64 import b64decode
from datetime import UTC, datetime
from email import message_from_bytes, message_from_string
from email.header import decode_header, make_header
from email.headerregistry import AddressHeader, UnstructuredHeader
from email.message import EmailMessage
from email.policy import default
from typing import cast
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.errors import MessageUnbuildable
from feedsvc.messages.headers import (
    check_address,
    date_field,
    feedback_id_field,
    list_id_field,
    list_unsubscribe_field,
    mailbox_field,
    message_id_field,
    text_field,
    wire_address,
)

FORBIDDEN = "\x00\r\n\t\v\f\x1b\x7f\x85\u2028\u2029"
# What a title may hold: any character but controls; blanks are single, as cleaned views have them.
WRITABLE = st.text(
    st.one_of(
        st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")),
        st.sampled_from(' "<>@,;:\\()=?_晨报é🎉👩‍👩‍👧'),
    ),
    min_size=1,
    max_size=300,
).map(lambda text: " ".join(text.split()) or "x")


def read(field: bytes) -> EmailMessage:
    return cast(EmailMessage, message_from_bytes(field + b"\r\n", policy=default))


def lines(field: bytes) -> list[str]:
    assert field.endswith(b"\r\n")
    return field.decode("ascii")[:-2].split("\r\n")


@given(WRITABLE)
@settings(max_examples=300)
def test_any_subject_reads_back_as_it_was(subject: str) -> None:
    field = text_field("Subject", subject)
    message = read(field)
    assert list(message.keys()) == ["Subject"]
    assert str(message["Subject"]) == subject
    assert not cast(UnstructuredHeader, message["Subject"]).defects
    for line in lines(field):
        assert len(line) <= (76 if "=?" in line else 78)
        for word in line.split():
            assert len(word) <= 75


@given(WRITABLE)
@settings(max_examples=300)
def test_any_display_name_reads_back_and_leaves_the_address_alone(name: str) -> None:
    field = mailbox_field("From", name, "news@example.com")
    header = cast(AddressHeader, read(field)["From"])
    assert len(header.addresses) == 1
    assert header.addresses[0].addr_spec == "news@example.com"
    assert not header.defects
    if b"=?utf-8?B?" in field:
        # The parser of addresses keeps the blank between encoded-words, against RFC 2047 §6.2.
        phrase = "".join(lines(field)).removeprefix("From: ").rpartition(" <")[0]
        assert str(make_header(decode_header(phrase))) == name
    else:
        assert header.addresses[0].display_name == name
    assert b"news@example.com" in field
    assert all(len(line) <= 78 for line in lines(field))


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Morning Post", b"From: Morning Post <n@e.org>\r\n"),
        ("Post, Inc.", b'From: "Post, Inc." <n@e.org>\r\n'),
        ('say "hi" \\', b'From: "say \\"hi\\" \\\\" <n@e.org>\r\n'),
        ("晨报", b"From: =?utf-8?B?5pmo5oql?= <n@e.org>\r\n"),
        ("=?utf-8?q?x?=", b"From: =?utf-8?B?PT91dGYtOD9xP3g/PQ==?= <n@e.org>\r\n"),
        ("", b"From: n@e.org\r\n"),
    ],
    ids=["atoms", "quoted", "escapes", "Chinese", "looks encoded", "none"],
)
def test_a_display_name_has_its_plainest_form(name: str, written: bytes) -> None:
    assert mailbox_field("From", name, "n@e.org") == written


@given(st.integers(0, 40), st.sampled_from("晨é🎉"))
@settings(max_examples=100)
def test_no_character_is_split_between_encoded_words(offset: int, character: str) -> None:
    field = text_field("Subject", "x" * offset + character * 100)
    for line in lines(field):
        for word in line.removeprefix("Subject:").split():
            b64decode(word.removeprefix("=?utf-8?B?").removesuffix("?=")).decode("utf-8")


@pytest.mark.parametrize("bad", FORBIDDEN)
def test_nothing_with_control_characters_reaches_a_header(bad: str) -> None:
    text = f"a{bad}Bcc: carol@example.org"
    with pytest.raises(MessageUnbuildable):
        text_field("Subject", text)
    with pytest.raises(MessageUnbuildable):
        mailbox_field("From", text, "n@example.org")
    with pytest.raises(MessageUnbuildable):
        mailbox_field("To", "", f"n{bad}@example.org")
    with pytest.raises(MessageUnbuildable):
        list_id_field(text, "a.example.org")
    with pytest.raises(MessageUnbuildable):
        list_id_field("A", f"a{bad}.example.org")
    with pytest.raises(MessageUnbuildable):
        list_unsubscribe_field([f"https://example.org/{bad}"])
    with pytest.raises(MessageUnbuildable):
        message_id_field(f"a{bad}@example.org")


def test_a_long_unsubscribe_address_is_never_encoded_or_broken() -> None:
    https = "https://news.example.com/unsubscribe/" + "k1.Aa0_-~" * 40
    field = list_unsubscribe_field([https, "mailto:u@example.com?subject=k1.Aa0"])
    assert lines(field) == [
        f"List-Unsubscribe: <{https}>,",
        " <mailto:u@example.com?subject=k1.Aa0>",
    ]
    with pytest.raises(MessageUnbuildable):
        list_unsubscribe_field(["https://example.org/" + "x" * 1000])
    for broken in ("https://example.org/a>b", "https://例子.example/", "https://e.org/a b", "x"):
        with pytest.raises(MessageUnbuildable):
            list_unsubscribe_field([broken])


def test_a_list_id_carries_its_title() -> None:
    field = list_id_field("晨报", "chenbao.news.example.com")
    assert field == b"List-Id: =?utf-8?B?5pmo5oql?= <chenbao.news.example.com>\r\n"


def test_a_date_is_in_utc_whatever_its_zone() -> None:
    at = datetime(2026, 11, 22, 8, 0, 5, 999, tzinfo=ZoneInfo("Asia/Shanghai"))
    assert date_field(at) == b"Date: Sun, 22 Nov 2026 00:00:05 +0000\r\n"
    assert (
        date_field(datetime(2026, 1, 1, tzinfo=UTC)) == b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n"
    )
    with pytest.raises(ValueError, match="aware"):
        date_field(datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    "address",
    [
        "a@example.org",
        "first.last+tag@xn--fsqu00a.xn--4rr70v",
        '"a b"@example.org',
        "o'brien!%x@localhost",
    ],
)
def test_an_address_is_written_as_it_is(address: str) -> None:
    assert check_address(address) == address
    header = cast(AddressHeader, read(mailbox_field("To", "Alice", address))["To"])
    assert header.addresses[0].addr_spec == address


@pytest.mark.parametrize(
    "address",
    [
        "a@例子.广告",
        "a@example.org>",
        "a@example.org, b@example.org",
        "a b@example.org",
        "<a@example.org>",
        "a@@example.org",
        "a(c)@example.org",
        ".a@example.org",
        "a@-example.org",
        "a@example..org",
        "a@[127.0.0.1]",
        "a",
        "@example.org",
        "",
        "a" * 65 + "@example.org",
        "a@" + "x." * 130 + "org",
    ],
)
def test_an_address_that_cannot_be_written_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(MessageUnbuildable) as caught:
        check_address(address)
    assert address == "" or address == "a" or address not in str(caught.value)


@pytest.mark.parametrize("address", ["用户@example.org", "jörg.müller@xn--fsqu00a.xn--4rr70v"])
def test_a_local_part_beyond_ascii_stands_there_as_it_is(address: str) -> None:
    field = mailbox_field("To", "李雷", address)
    assert field == f"To: =?utf-8?B?5p2O6Zu3?= <{address}>\r\n".encode()
    header = cast(AddressHeader, message_from_string(field.decode(), policy=default)["To"])
    assert [one.addr_spec for one in header.addresses] == [address]


@pytest.mark.parametrize(
    "local",
    [
        "李\u200b雷",
        "\u202ea",
        "李 雷",
        "李\u3000雷",
        "李\ue000",
        "李@雷",
        ".李",
        "李\ud800",
        "李" * 22,
    ],
)
def test_a_local_part_that_hides_something_or_is_too_long_is_refused(local: str) -> None:
    with pytest.raises(MessageUnbuildable):
        check_address(f"{local}@example.org")


def test_a_very_long_local_part_is_refused_at_once() -> None:
    with pytest.raises(MessageUnbuildable):
        check_address("李" + "a" * 50_000 + " @example.org")


def test_a_domain_is_written_as_a_label() -> None:
    assert wire_address("news@例子.广告") == "news@xn--fsqu00a.xn--4rr70v"
    assert wire_address("news@example.com") == "news@example.com"
    with pytest.raises(MessageUnbuildable):
        wire_address("news@例子..广告")


def test_providers_are_told_what_a_mail_belongs_to_and_not_whose_it_is() -> None:
    assert feedback_id_field(("e12", "daily", "digest")) == (
        b"Feedback-ID: e12:daily:digest:feedsvc\r\n"
    )
    assert feedback_id_field(("a:b c", "晨报", "x" * 99)) == (
        b"Feedback-ID: a-b-c:-:" + b"x" * 40 + b":feedsvc\r\n"
    )
    with pytest.raises(ValueError, match="at most three"):
        feedback_id_field(("a", "b", "c", "d"))
