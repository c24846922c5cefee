"""Rendering a cohort's mail: subject, HTML, plain text, and the page without tokens.

Pure given the templates; the same view gives the same mail.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import css_inline

from feedsvc.errors import TemplateInvalid
from feedsvc.kit.templating import Templates
from feedsvc.kit.texts import Texts
from feedsvc.messages.columns import wrap_text
from feedsvc.messages.splice import Slot, has_markers, marker, slots_in
from feedsvc.messages.subjects import (
    PREHEADER_LIMIT,
    SUBJECT_LIMIT,
    compose_line,
    shortened,
    usual_preheader,
    usual_subject,
)
from feedsvc.messages.tokens import read_tokens
from feedsvc.messages.views import (
    PLAIN_THEME,
    DigestView,
    ItemView,
    LetterView,
    NoticeView,
    cleaned,
)

__all__ = [
    "DigestView",
    "ItemView",
    "LetterView",
    "NoticeView",
    "RenderedMail",
    "render_digest",
    "render_letter",
    "render_notice",
]

#: Gmail clips at about 102 kB of HTML and hides the footer with it; values come on top of this.
HTML_LIMIT_BYTES = 90_000
#: Articles that the page lists beside those of the mail.
LISTED_LIMIT = 200

# SECURITY: an inliner that follows <link> would fetch whatever a template names.
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """A mail with slots where each person's values go."""

    subject: str
    html: str
    text: str
    #: The mail as a page of its own, without slots; empty for notices.
    page: str = ""
    #: How many of the view's items are in it; the rest are counted under "and n more".
    shown: int = 0


def render_digest(
    templates: Templates, view: DigestView, *, subject: str = "", preheader: str = ""
) -> RenderedMail:
    """Render a digest; articles that do not fit into 90 kB are counted instead of shown.

    Args:
        subject, preheader: templates of one line; empty for the usual ones.

    Raises:
        TemplateInvalid: a template fails, has no unsubscribe link, or leaves no room for articles.
    """
    view = cleaned(view)
    if not view.items:
        raise ValueError("a digest needs at least one item")
    texts = Texts(view.language)
    common = _common(templates, texts)

    def about(mail: DigestView) -> dict[str, Any]:
        first = compose_line(templates, texts, mail, subject, SUBJECT_LIMIT)
        second = compose_line(templates, texts, mail, preheader, PREHEADER_LIMIT)
        return {
            **common,
            "subject": first or usual_subject(texts, mail),
            "preheader": second or usual_preheader(texts, mail),
        }

    def render_html(shown: int) -> str:
        mail = _beginning(view, shown)
        return _inlined(_render(templates, mail, "digest.html", about(mail)))

    shown, html = _largest_that_fits(len(view.items), render_html)
    if not shown:
        raise TemplateInvalid(
            f"theme {view.theme}: a digest of one article is larger than {HTML_LIMIT_BYTES} bytes"
        )
    mail = _beginning(view, shown)
    told = about(mail)
    text = wrap_text(_render(templates, mail, "digest.txt", told))
    page = _render(templates, mail, "digest.html", _of_page(told))
    rendered = RenderedMail(told["subject"], html, text, page, shown)
    _check_slots(rendered, view.theme, Slot.UNSUBSCRIBE_URL)
    return rendered


def _beginning(view: DigestView, shown: int) -> DigestView:
    """The view with its first items alone; the others go before those that are only listed."""
    rest = (*view.items[shown:], *view.more)[:LISTED_LIMIT]
    more_count = view.more_count + len(view.items) - shown
    return replace(view, items=view.items[:shown], more=rest, more_count=more_count)


def render_letter(templates: Templates, view: LetterView) -> RenderedMail:
    """Render what an operator has written; what does not fit is on the page, with a link to it.

    Raises:
        TemplateInvalid: a template fails, has no unsubscribe link, or is too large by itself.
    """
    view = cleaned(view)
    texts = Texts(view.language)
    about = {
        **_common(templates, texts),
        "subject": shortened(view.subject, SUBJECT_LIMIT),
        "preheader": shortened(view.body.text, PREHEADER_LIMIT),
    }
    mail = RenderedMail(
        about["subject"],
        _inlined(_render(templates, view, "letter.html", about)),
        wrap_text(_render(templates, view, "letter.txt", about)),
        _render(templates, view, "letter.html", _of_page(about)),
    )
    if len(mail.html.encode()) > HTML_LIMIT_BYTES:
        raise TemplateInvalid(
            f"theme {view.theme}: a letter is larger than {HTML_LIMIT_BYTES} bytes"
        )
    _check_slots(mail, view.theme, Slot.UNSUBSCRIBE_URL)
    return mail


def render_notice(templates: Templates, view: NoticeView) -> RenderedMail:
    """Render a notice. Raises TemplateInvalid, also when it has no link to confirm by."""
    view = cleaned(view)
    texts = Texts(view.language)
    subject = shortened(
        texts.gettext(
            "Please confirm your subscription to %(newsletter)s", newsletter=view.newsletter_title
        ),
        SUBJECT_LIMIT,
    )
    about = {**_common(templates, texts), "subject": subject, "preheader": ""}
    mail = RenderedMail(
        subject=subject,
        html=_inlined(_render(templates, view, f"{view.kind}.html", about)),
        text=wrap_text(_render(templates, view, f"{view.kind}.txt", about)),
    )
    _check_slots(mail, view.theme, Slot.CONFIRM_URL)
    return mail


def _largest_that_fits(items: int, render: Callable[[int], str]) -> tuple[int, str]:
    """The largest number of items whose HTML keeps within the limit, and that HTML; 0 if none."""
    fits, best = 0, ""
    too_many = items + 1
    trying = items
    while too_many - fits > 1:
        html = render(trying)
        if len(html.encode()) <= HTML_LIMIT_BYTES:
            fits, best = trying, html
        else:
            too_many = trying
        trying = (fits + too_many) // 2
    return fits, best


def _common(templates: Templates, texts: Texts) -> dict[str, Any]:
    tokens = read_tokens(templates)
    return {
        "lang": texts.lang,
        "slots": {str(slot): marker(slot) for slot in Slot},
        "more_url": marker(Slot.VIEW_URL),
        "personal": True,
        "light": tokens.light,
        "dark": tokens.dark,
    }


def _of_page(about: dict[str, Any]) -> dict[str, Any]:
    """What templates are told of a mail, as for its page, where nobody is known."""
    return {**about, "personal": False, "preheader": "", "more_url": ""}


def _render(
    templates: Templates,
    view: DigestView | LetterView | NoticeView,
    file: str,
    about: dict[str, Any],
) -> str:
    name = f"mail/{view.theme}/{file}"
    if not templates.has(name):
        name = f"mail/{PLAIN_THEME}/{file}"
    said = {one.name: getattr(view, one.name) for one in fields(view) if one.name != "language"}
    return templates.render(name, view.language, **{**said, **about})


def _inlined(html: str) -> str:
    """Styles moved into the elements; media queries stay in the head."""
    try:
        return _INLINER.inline(html)
    except css_inline.InlineError as error:
        raise TemplateInvalid(f"the styles of a mail cannot be inlined: {error}") from error


def _check_slots(mail: RenderedMail, theme: str, needed: Slot) -> None:
    for kind, text in (("HTML", mail.html), ("plain text", mail.text)):
        if needed not in slots_in(text):
            raise TemplateInvalid(f"theme {theme}: its {kind} has no slots.{needed}")
    if has_markers(mail.page):
        raise TemplateInvalid(f"theme {theme}: its page has a slot; ask for `personal` first")
