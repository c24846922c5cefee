"""Slots: filled for one person, and impossible to bring in from outside."""

from dataclasses import replace

import pytest

from feedsvc.errors import MessageUnbuildable
from feedsvc.kit.templating import Templates
from feedsvc.messages.render import DigestView, render_digest
from feedsvc.messages.splice import Slot, marker, slots_in, splice, splice_some

URL, ADDRESS = marker(Slot.UNSUBSCRIBE_URL), marker(Slot.ADDRESS)


def test_a_value_is_escaped_in_html_and_left_alone_in_text() -> None:
    values = {"unsubscribe_url": "https://example.org/?a=1&b=\"'<x>"}
    assert splice(f'<a href="{URL}">', values, escape=True) == (
        '<a href="https://example.org/?a=1&amp;b=&quot;&#x27;&lt;x&gt;">'
    )
    assert splice(URL, values, escape=False) == values["unsubscribe_url"]


@pytest.mark.parametrize(
    "values",
    [{}, {"unsubscribe_url": ""}, {"unsubscribe_url": "a\r\nb"}, {"unsubscribe_url": "a\x00"}],
    ids=["missing", "empty", "line break", "NUL"],
)
def test_a_mail_without_a_usable_value_is_not_made(values: dict[str, str]) -> None:
    with pytest.raises(MessageUnbuildable, match="unsubscribe_url"):
        splice(f"x {URL}", values, escape=False)


def test_only_a_name_may_be_empty() -> None:
    assert splice(f"Dear {marker(Slot.NAME)}", {"name": ""}, escape=False) == "Dear "


def test_a_value_cannot_bring_a_slot_of_its_own() -> None:
    values = {"name": URL, "unsubscribe_url": "https://secret"}
    assert splice(marker(Slot.NAME), values, escape=False) == "unsubscribe_url"


def test_a_torn_marker_is_an_error_not_a_mail() -> None:
    with pytest.raises(MessageUnbuildable):
        splice(URL[:-1], {}, escape=False)


def test_what_a_cohort_shares_is_filled_in_once() -> None:
    text = splice_some(f"{URL} {ADDRESS}", {"address": "a&b"}, escape=True)
    assert text == f"{URL} a&amp;b"


def test_an_article_that_holds_a_marker_gets_no_slot(
    templates: Templates, english_view: DigestView
) -> None:
    sly = replace(
        english_view.items[0],
        title=f"Title {ADDRESS}",
        excerpt=f"Excerpt {URL}",
        url=f"https://example.org/{ADDRESS}",
        section=ADDRESS,
        authors=(ADDRESS,),
        lang=ADDRESS,
        published=ADDRESS,
        image=f"https://example.org/{ADDRESS}",
        image_alt=ADDRESS,
    )
    honest = replace(english_view.items[0], title="Title")
    with_sly = render_digest(templates, replace(english_view, items=(sly,)))
    with_honest = render_digest(templates, replace(english_view, items=(honest,)))
    for form in ("html", "text", "page", "subject"):
        seen = getattr(with_sly, form).count(marker(Slot.ADDRESS)[0])
        assert seen == getattr(with_honest, form).count(marker(Slot.ADDRESS)[0]), form


def test_rendering_and_inlining_leave_markers_in_links_whole(
    templates: Templates, english_view: DigestView
) -> None:
    mail = render_digest(templates, english_view)
    assert f'href="{URL}"' in mail.html
    for form in (mail.html, mail.text):
        assert slots_in(form) == {"unsubscribe_url", "preferences_url", "view_url", "address"}
    assert slots_in(mail.page) == frozenset()
