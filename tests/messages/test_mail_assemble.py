"""Whole messages, read back by the standard library."""

import os
from base64 import encodebytes
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedsvc.errors import MessageUnbuildable
from feedsvc.kit.templating import Templates
from feedsvc.messages.assemble import CohortMessage, Recipient, message_id, notice_draft
from feedsvc.messages.mime import boundary_for, encode_lines, is_wire_ready
from feedsvc.messages.render import (
    DigestView,
    NoticeView,
    RenderedMail,
    render_digest,
    render_notice,
)
from feedsvc.messages.splice import Slot, marker, splice
from feedsvc.model.newsletter import Newsletter

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
DATE = datetime(2026, 11, 22, 0, 0, 3, tzinfo=UTC)
ID = "c2qv4h7n@news.example.com"
DOMAIN = "news.example.com"
FEEDBACK = ("e12", "daily", "digest")


def cohort_of(
    mail: RenderedMail, newsletter: Newsletter, shared: dict[str, str] | None = None
) -> CohortMessage:
    return CohortMessage(mail, newsletter, DOMAIN, FEEDBACK, shared)


def digest_message(mail: RenderedMail, newsletter: Newsletter, person: Recipient) -> bytes:
    return cohort_of(mail, newsletter).build(person, DATE, ID).join()


def parse(content: bytes) -> EmailMessage:
    message = cast(EmailMessage, message_from_bytes(content, policy=default))
    for part in message.walk():
        assert part.defects == []
    return message


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return cast(str, part.get_content()).replace("\r\n", "\n")


def check_lines(content: bytes) -> None:
    assert content.endswith(b"\r\n")
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert b"\r" not in content.replace(b"\r\n", b"")
    assert max(len(line) for line in content.split(b"\r\n")) <= 998
    content.decode("ascii")


@pytest.fixture
def digest(templates: Templates, chinese_view: DigestView) -> RenderedMail:
    return render_digest(templates, chinese_view)


def test_a_digest_has_exactly_the_headers_it_should(
    digest: RenderedMail, chenbao: Newsletter, li_lei: Recipient
) -> None:
    content = digest_message(digest, chenbao, li_lei)
    check_lines(content)
    message = parse(content)
    assert message.items() == [
        ("From", "晨报编辑部 <news@example.com>"),
        ("To", "李雷 <lilei@xn--fsqu00a.xn--4rr70v>"),
        ("Subject", "晨报：市政府印发《关于推进城市更新的若干意见》"),
        ("Date", "Sun, 22 Nov 2026 00:00:03 +0000"),
        ("Message-ID", f"<{ID}>"),
        ("List-Id", "晨报 <chenbao.news.example.com>"),
        ("List-Post", "NO"),
        ("List-Unsubscribe", f"<{li_lei.values['unsubscribe_url']}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("Feedback-ID", "e12:daily:digest:feedsvc"),
        ("MIME-Version", "1.0"),
        ("Content-Type", f'multipart/alternative; boundary="{boundary_for(ID)}"'),
    ]
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_the_unsubscribe_address_stands_in_one_piece(
    digest: RenderedMail, chenbao: Newsletter, li_lei: Recipient
) -> None:
    content = digest_message(digest, chenbao, li_lei)
    url = li_lei.values["unsubscribe_url"].encode()
    assert b"\r\nList-Unsubscribe: <" + url + b">\r\n" in content


def test_both_parts_say_what_was_rendered(
    digest: RenderedMail, chenbao: Newsletter, li_lei: Recipient
) -> None:
    message = parse(digest_message(digest, chenbao, li_lei))
    values = {"address": li_lei.address, **li_lei.values}
    assert body(message, "plain") == splice(digest.text, values, escape=False)
    assert body(message, "html") == splice(digest.html, values, escape=True)


def test_the_same_inputs_make_the_same_bytes(
    digest: RenderedMail, chenbao: Newsletter, li_lei: Recipient, alice: Recipient
) -> None:
    cohort = cohort_of(digest, chenbao)
    first = cohort.build(li_lei, DATE, ID).join()
    cohort.build(alice, DATE, "other@news.example.com")
    assert cohort.build(li_lei, DATE, ID).join() == first
    assert digest_message(digest, chenbao, li_lei) == first


def test_what_the_cohort_shares_gives_the_same_mail(
    digest: RenderedMail, chenbao: Newsletter, li_lei: Recipient
) -> None:
    shared = {"view_url": li_lei.values["view_url"]}
    own = {name: value for name, value in li_lei.values.items() if name not in shared}
    built = cohort_of(digest, chenbao, shared).build(replace(li_lei, values=own), DATE, ID)
    one, other = parse(built.join()), parse(digest_message(digest, chenbao, li_lei))
    assert one.items() == other.items()
    for kind in ("plain", "html"):
        assert body(one, kind) == body(other, kind)


def test_nobody_gets_a_word_of_anybody_else(digest: RenderedMail, chenbao: Newsletter) -> None:
    cohort = cohort_of(digest, chenbao, {"view_url": "https://news.example.com/v/1"})
    for number in range(200):
        canary = f"canary{number:03}"
        person = Recipient(
            f"{canary}@example.org",
            canary if number % 2 else "",
            {
                "unsubscribe_url": f"https://news.example.com/u/{canary}",
                "preferences_url": f"https://news.example.com/p/{canary}",
            },
        )
        content = cohort.build(person, DATE, f"{canary}@news.example.com").join()
        message = parse(content)
        text = f"{message.items()}{body(message, 'plain')}{body(message, 'html')}"
        assert text.count("canary") == text.count(canary) > 4


def test_a_person_without_an_unsubscribe_address_gets_no_digest(
    digest: RenderedMail, chenbao: Newsletter
) -> None:
    with pytest.raises(MessageUnbuildable, match="unsubscribe_url"):
        digest_message(digest, chenbao, Recipient("bob@example.org"))


# What may come into a mail; a rendered one has neither surrogates nor markers of its own.
ANYTHING = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\U0010fffc\U0010fffd")
)
WRITABLE = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=80)
NASTY = st.sampled_from(["\n.\n", "\r\n.\r\n", "\r.\r", ".", "\r\n.\r\nRSET\r\n", "x" * 2000])


@given(
    st.lists(ANYTHING | NASTY, min_size=2, max_size=4),
    WRITABLE,
    WRITABLE,
    st.sampled_from(["b@example.org", "first.last+tag@xn--fsqu00a.xn--4rr70v", "李雷@example.org"]),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_said_to_be_ready_for_the_wire_is(
    morning_post: Newsletter, pieces: list[str], subject: str, name: str, address: str
) -> None:
    rendered = "." + marker(Slot.NAME).join([*pieces, marker(Slot.CONFIRM_URL)])
    mail = RenderedMail(subject, html=rendered, text=rendered)
    person = Recipient(
        address,
        name,
        {"unsubscribe_url": "https://example.org/u", "confirm_url": "https://example.org/c"},
    )
    drafts = (
        cohort_of(mail, morning_post).build(person, DATE, ID),
        notice_draft(mail, morning_post, person, DATE, ID),
    )
    for draft in drafts:
        # A local part beyond ASCII is written as it is: such a mail is not promised to be.
        assert draft.is_wire_ready == address.isascii()
        if draft.is_wire_ready:
            check_lines(draft.join())
            assert not any(line.startswith(b".") for line in draft.join().split(b"\r\n"))


@pytest.mark.parametrize(
    "content",
    [
        b"a\n",
        b"a\r",
        b"\na\r\n",
        b"a\rb\r\n",
        b"a",
        b"",
        b".\r\n",
        b"a\r\n.a\r\n",
        b"a\r\n\nb\r\n",
        b"\xe6\r\n",
        b"x" * 999 + b"\r\n",
    ],
)
def test_what_smtp_would_have_to_change_is_not_ready_for_it(content: bytes) -> None:
    assert not is_wire_ready(content)


def test_a_line_of_998_octets_is_ready() -> None:
    assert is_wire_ready(b"a\r\n" + b"x" * 998 + b"\r\n\r\n")


@given(st.binary(max_size=400))
def test_base64_lines_are_what_the_standard_library_writes(data: bytes) -> None:
    assert encode_lines(data) == encodebytes(data).replace(b"\n", b"\r\n")


def test_lines_that_look_like_smtp_do_not_reach_the_wire(morning_post: Newsletter) -> None:
    nasty = "\n.\n\r\n.\r\nRSET\r\nMAIL FROM:<x@example.org>\r\n"
    mail = RenderedMail("Subject", html=nasty, text=nasty)
    content = notice_draft(mail, morning_post, Recipient("b@example.org"), DATE, ID).join()
    check_lines(content)
    assert b"\r\n." not in content
    assert b"MAIL FROM" not in content
    assert b"RSET" not in content


def test_a_boundary_belongs_to_its_message_and_cannot_stand_in_base64() -> None:
    assert boundary_for("a@x") == boundary_for("a@x") != boundary_for("b@x")
    assert "=_" in boundary_for("a@x")
    assert len(boundary_for("a@x")) <= 70


def test_a_confirmation_is_marked_as_automatic_and_names_nobody(
    templates: Templates, confirmation_view: NoticeView, chenbao: Newsletter
) -> None:
    mail = render_notice(templates, confirmation_view)
    bob = Recipient(
        "bob@example.org",
        "Buy at http://evil.example",
        {"confirm_url": "https://news.example.com/confirm/k1.abc"},
    )
    content = notice_draft(mail, chenbao, bob, DATE, ID).join()
    check_lines(content)
    message = parse(content)
    assert message["To"] == "bob@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Unsubscribe"] is None
    text = f"{message.items()}{body(message, 'plain')}{body(message, 'html')}"
    assert "evil" not in text
    assert "https://news.example.com/confirm/k1.abc" in body(message, "plain")


def test_a_theme_cannot_bring_a_visitors_name_into_a_notice(chenbao: Newsletter) -> None:
    text = f"Dear {marker(Slot.NAME)}: {marker(Slot.CONFIRM_URL)}"
    mail = RenderedMail("Confirm", html=text, text=text)
    bob = Recipient("bob@example.org", "evil", {"confirm_url": "https://e.org", "name": "evil"})
    assert "evil" not in body(parse(notice_draft(mail, chenbao, bob, DATE, ID).join()), "plain")


def test_a_message_id_follows_from_its_key() -> None:
    assert message_id(b"\x00" * 32, "news.example.com") == "0" * 40 + "@news.example.com"
    assert message_id(b"\xff" * 20, "e.org") != message_id(b"\xfe" * 20, "e.org")


@pytest.mark.parametrize("language", ["english", "chinese"])
def test_messages_are_as_agreed(
    language: str, templates: Templates, request: pytest.FixtureRequest
) -> None:
    view = request.getfixturevalue(f"{language}_view")
    newsletter = request.getfixturevalue("morning_post" if language == "english" else "chenbao")
    person = request.getfixturevalue("alice" if language == "english" else "li_lei")
    content = digest_message(render_digest(templates, view), newsletter, person)
    path = GOLDEN / f"digest-{language}.eml"
    if os.environ.get("FEEDSVC_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    assert path.read_bytes() == content
