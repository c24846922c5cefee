"""Spliced base64: for everybody exactly what was rendered for them alone."""

import re
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import cast

import html5lib
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from feedsvc.errors import MessageUnbuildable
from feedsvc.kit.templating import Templates
from feedsvc.messages import render
from feedsvc.messages.mime import with_crlf
from feedsvc.messages.parts import Part
from feedsvc.messages.render import DigestView, render_digest
from feedsvc.messages.splice import Slot, marker, splice, written_value

SLOTS = [Slot.NAME, Slot.ADDRESS, Slot.VIEW_URL]
_LINE = re.compile(rb"(?:[A-Za-z0-9+/]{4}){1,19}\r\n")
_LAST = re.compile(rb"(?:[A-Za-z0-9+/]{4}){0,18}[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/]=)\r\n")

STATIC = st.one_of(
    st.text("ab\n\r <&\"'城é🎉𠮷", max_size=200),
    st.integers(0, 400).map(lambda size: "城" * size),
    st.integers(0, 400).map(lambda size: "x" * size),
)
VALUE = st.text(
    st.characters(
        exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\U0010fffc\U0010fffd"
    )
    | st.sampled_from("<&\"'>=城🎉𠮷"),
    min_size=1,
    max_size=150,
)


def encoded(part: Part, values: dict[str, str], escape: bool) -> bytes:
    written = {name: written_value(values, name, escape).encode() for name in part.slots}
    return b"".join(part.encode(written))


def check(lines: bytes, text: str) -> None:
    """Full lines of whole groups, padding at the very end alone, and the text in them."""
    *first, last = lines.splitlines(keepends=True) or [b""]
    assert all(_LINE.fullmatch(line) for line in first)
    assert not last or _LINE.fullmatch(last) or _LAST.fullmatch(last)
    assert b64decode(lines.replace(b"\r\n", b""), validate=True).decode() == text
    head = b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    message = message_from_bytes(head + lines, policy=default)
    assert cast(bytes, message.get_payload(decode=True)).decode() == text
    assert not message.defects


@settings(max_examples=400)
@given(
    st.lists(STATIC, min_size=1, max_size=6),
    st.lists(st.sampled_from(SLOTS), min_size=5, max_size=5),
    VALUE | st.just(""),
    VALUE,
    VALUE,
    st.booleans(),
)
@example(["", ""], [Slot.NAME] * 5, "", "a", "a", True)
@example(["", "", "", ""], [Slot.ADDRESS, Slot.NAME, Slot.ADDRESS] * 2, "李雷", "&", "a", True)
@example(["\r", "\n"], [Slot.NAME] * 5, "", "a", "a", False)
def test_a_part_decodes_to_the_text_rendered_for_that_person(
    static: list[str], slots: list[Slot], name: str, address: str, url: str, escape: bool
) -> None:
    text = static[0]
    for slot, between in zip(slots, static[1:], strict=False):
        text += marker(slot) + between
    part = Part(text)
    everybody = [
        {"name": name, "address": address, "view_url": url},
        {"name": "", "address": "ab", "view_url": "abc"},
        {"name": "李雷", "address": "a", "view_url": url},
    ]
    for values in everybody:
        check(encoded(part, values, escape), splice(with_crlf(text), values, escape))


def test_threads_that_build_at_once_write_the_same() -> None:
    static = ["城x" * 5000, "y" * 9001, "z" * 333]
    text = f"{static[0]}{marker(Slot.NAME)}{static[1]}{marker(Slot.ADDRESS)}{static[2]}"
    people = [{"name": "n" * (n % 7), "address": f"{n}@example.org"} for n in range(200)]
    alone = [encoded(Part(text), values, False) for values in people]
    part = Part(text)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda values: encoded(part, values, False), people)) == alone


def test_a_torn_marker_makes_no_part() -> None:
    with pytest.raises(MessageUnbuildable):
        Part(f"Dear {marker(Slot.NAME)[:-1]}")


def _words(html: str) -> list[object]:
    """What a browser makes of a page: elements, attributes and texts in their order."""
    tree = html5lib.parse(html, treebuilder="etree", namespaceHTMLElements=False)
    return [(one.tag, sorted(one.attrib.items()), one.text, one.tail) for one in tree.iter()]


@pytest.mark.parametrize("language", ["english", "chinese"])
@pytest.mark.parametrize("name", ["李雷", "O'Brien & <Söhne>", "🎉", ""])
def test_a_digest_that_greets_is_what_the_template_says_to_that_person(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    language: str,
    name: str,
) -> None:
    view: DigestView = request.getfixturevalue(f"{language}_view")
    plain = Path(__file__).resolve().parents[2] / "templates" / "mail" / "plain"
    own = tmp_path / "mail" / "plain"
    own.mkdir(parents=True)
    for file, before in (("digest.html", "{% block content %}"), ("digest.txt", "")):
        source = (plain / file).read_text("utf-8")
        greeting = "<p>Dear {{ slots.name }}</p>" if before else "Dear {{ slots.name }}\n"
        greeting = "{% if personal %}" + greeting + "{% endif %}"
        (own / file).write_text(source.replace(before, before + greeting, 1), "utf-8")
    templates = Templates(tmp_path)
    values = {
        "name": name,
        "address": "lilei@example.org",
        "unsubscribe_url": "https://news.example.com/unsubscribe/k1?a=1&b=2",
        "preferences_url": "https://news.example.com/preferences/k1",
        "view_url": "https://news.example.com/editions/k1",
    }
    mail = render_digest(templates, view)
    spliced = encoded(Part(mail.html), values, True), encoded(Part(mail.text), values, False)
    html, text = (b64decode(one.replace(b"\r\n", b"")).decode() for one in spliced)
    # For that person alone: the template is given the values, and escapes them itself.
    monkeypatch.setattr(render, "marker", lambda slot: values.get(slot, marker(slot)))
    monkeypatch.setattr(render, "_check_slots", lambda *_: None)
    alone = render_digest(templates, view)
    assert _words(html) == _words(alone.html)
    assert text.split() == alone.text.split()
    assert name in html or "&" in name
