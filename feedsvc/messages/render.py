"""Rendering a cohort's mail: subject, HTML, plain text, and the page without tokens.

Pure given the templates; the same view gives the same mail.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import css_inline

from feedsvc.errors import TemplateInvalid
from feedsvc.kit.templating import Templates
from feedsvc.kit.texts import Texts
from feedsvc.messages.columns import wrap_text
from feedsvc.messages.splice import Slot, has_markers, marker, slots_in
from feedsvc.messages.tokens import read_tokens
from feedsvc.messages.views import PLAIN_THEME, DigestView, ItemView, NoticeView, cleaned

__all__ = [
    "DigestView",
    "ItemView",
    "NoticeView",
    "RenderedMail",
    "render_digest",
    "render_notice",
]

#: Gmail clips at about 102 kB of HTML and hides the footer with it; values come on top of this.
HTML_LIMIT_BYTES = 90_000
SUBJECT_LIMIT = 120
PREHEADER_LIMIT = 140

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


def render_digest(templates: Templates, view: DigestView) -> RenderedMail:
    """Render a digest; articles that do not fit into 90 kB are counted instead of shown.

    Raises:
        TemplateInvalid: a template fails, has no unsubscribe link, or leaves no room for articles.
    """
    view = cleaned(view)
    if not view.items:
        raise ValueError("a digest needs at least one item")
    texts = Texts(view.language)
    subject = compose_subject(texts, view)
    common = _common(templates, texts, subject)

    def render(file: str, shown: int, personal: bool = True) -> str:
        part = replace(
            view,
            items=view.items[:shown],
            more_count=view.more_count + len(view.items) - shown,
        )
        preheader = compose_preheader(texts, part.items) if personal else ""
        about = {**common, "preheader": preheader, "personal": personal}
        return _render(templates, part, file, about)

    shown, html = _largest_that_fits(
        len(view.items), lambda shown: _inlined(render("digest.html", shown))
    )
    if not shown:
        raise TemplateInvalid(
            f"theme {view.theme}: a digest of one article is larger than {HTML_LIMIT_BYTES} bytes"
        )
    text = wrap_text(render("digest.txt", shown))
    page = render("digest.html", shown, personal=False)
    mail = RenderedMail(subject, html, text, page, shown)
    _check_slots(mail, view.theme, Slot.UNSUBSCRIBE_URL)
    return mail


def render_notice(templates: Templates, view: NoticeView) -> RenderedMail:
    """Render a notice. Raises TemplateInvalid, also when it has no link to confirm by."""
    view = cleaned(view)
    texts = Texts(view.language)
    subject = _shortened(
        texts.gettext(
            "Please confirm your subscription to %(newsletter)s", newsletter=view.newsletter_title
        ),
        SUBJECT_LIMIT,
    )
    about = {**_common(templates, texts, subject), "preheader": "", "personal": True}
    mail = RenderedMail(
        subject=subject,
        html=_inlined(_render(templates, view, f"{view.kind}.html", about)),
        text=wrap_text(_render(templates, view, f"{view.kind}.txt", about)),
    )
    _check_slots(mail, view.theme, Slot.CONFIRM_URL)
    return mail


def compose_subject(texts: Texts, view: DigestView) -> str:
    """Newsletter and first headline, on one line of at most 120 characters."""
    subject = texts.gettext(
        "%(newsletter)s: %(headline)s",
        newsletter=view.newsletter_title,
        headline=view.items[0].title or view.date,
    )
    return _shortened(subject, SUBJECT_LIMIT)


def compose_preheader(texts: Texts, items: Sequence[ItemView]) -> str:
    """What an inbox shows behind the subject: the next headlines, or the only item's excerpt."""
    if len(items) < 2:
        return _shortened("".join(item.excerpt for item in items), PREHEADER_LIMIT)
    headlines = " · ".join(item.title for item in items[1:4])
    return _shortened(texts.gettext("Also: %(headlines)s", headlines=headlines), PREHEADER_LIMIT)


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


def _common(templates: Templates, texts: Texts, subject: str) -> dict[str, Any]:
    tokens = read_tokens(templates)
    return {
        "lang": texts.lang,
        "subject": subject,
        "slots": {str(slot): marker(slot) for slot in Slot},
        "light": tokens.light,
        "dark": tokens.dark,
    }


def _render(
    templates: Templates, view: DigestView | NoticeView, file: str, about: dict[str, Any]
) -> str:
    name = f"mail/{view.theme}/{file}"
    if not templates.has(name):
        name = f"mail/{PLAIN_THEME}/{file}"
    said = {one.name: getattr(view, one.name) for one in fields(view) if one.name != "language"}
    return templates.render(name, view.language, **said, **about)


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


def _shortened(text: str, limit: int) -> str:
    """One line of at most `limit` characters, cut at a blank where there is one near."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    blank = cut.rfind(" ")
    if blank > limit - 25:
        cut = cut[:blank]
    return cut.rstrip(" ,;:-–—，；：、\u200d\ufe0f") + "…"
