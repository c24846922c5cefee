"""The two lines an inbox shows of a digest: its subject, and what stands behind it.

A newsletter may have templates of its own for both. Whatever they do, a mail is made: the usual
line stands in for one that fails, or that comes out empty.
"""

from collections.abc import Sequence
from typing import Any

import structlog

from feedsvc.config import Settings
from feedsvc.errors import TemplateInvalid
from feedsvc.kit.templating import Templates
from feedsvc.kit.texts import LANGUAGES, Texts
from feedsvc.messages.views import DigestView, ItemView, cleaned

log = structlog.get_logger(__name__)

SUBJECT_LIMIT = 120
PREHEADER_LIMIT = 140
#: Of what a template made, so much is looked at.
_MADE_LIMIT = 2000


def usual_subject(texts: Texts, view: DigestView) -> str:
    """Newsletter and first headline; of a mail that greets, a welcome."""
    if view.greeting:
        subject = texts.gettext("Welcome to %(newsletter)s", newsletter=view.newsletter_title)
    else:
        subject = texts.gettext(
            "%(newsletter)s: %(headline)s",
            newsletter=view.newsletter_title,
            headline=view.items[0].title or view.date,
        )
    return shortened(subject, SUBJECT_LIMIT)


def usual_preheader(texts: Texts, view: DigestView) -> str:
    """The next headlines, or the only article's excerpt."""
    items = view.items
    if view.greeting:
        return shortened(" · ".join(item.title for item in items[:3]), PREHEADER_LIMIT)
    if len(items) < 2:
        return shortened("".join(item.excerpt for item in items), PREHEADER_LIMIT)
    headlines = " · ".join(item.title for item in items[1:4])
    return shortened(texts.gettext("Also: %(headlines)s", headlines=headlines), PREHEADER_LIMIT)


def compose_line(
    templates: Templates, texts: Texts, view: DigestView, template: str, limit: int
) -> str:
    """What a template makes of a digest, on one line of at most `limit` characters; '' if nothing.

    A template that fails is said in the log.
    """
    if not template:
        return ""
    try:
        made = templates.render_line(template, texts.language, **line_context(view))
    except TemplateInvalid as error:
        log.warning("template of a line failed", newsletter=view.newsletter_title, fault=str(error))
        return ""
    # SECURITY: a template may write characters by their codes, a slot's markers among them.
    line: str = cleaned(made[:_MADE_LIMIT])
    return shortened(line, limit)


def line_context(view: DigestView) -> dict[str, Any]:
    """The names that templates of subjects and preheaders have."""
    sections = dict.fromkeys(item.section for item in view.items if item.section)
    return {
        "newsletter": view.newsletter_title,
        "headline": view.items[0].title or view.date,
        "headlines": [item.title for item in view.items],
        "count": len(view.items) + view.more_count,
        "more_count": view.more_count,
        "date": view.date,
        "section": view.items[0].section,
        "sections": list(sections),
    }


def check_subject_templates(templates: Templates, settings: Settings) -> dict[str, str]:
    """What is wrong with the templates of subjects and preheaders, by the name of their setting.

    Each is tried with a small digest and with a large one, in every language.
    """
    problems: dict[str, str] = {}
    for key, newsletter in settings.newsletters.items():
        for name in ("subject", "preheader"):
            template = getattr(newsletter, name) or ""
            if template and (problem := _find_problem(templates, template, newsletter.title)):
                problems[f"newsletters.{key}.{name}"] = problem
    return problems


def _find_problem(templates: Templates, template: str, title: str) -> str | None:
    for language in LANGUAGES:
        # The larger first: what fails with both has nothing to do with how many there are.
        for sections, more in ((("City", "", "Culture", "City", "World"), 7), (("",), 0)):
            view = _sample(language, title, sections, more)
            try:
                templates.render_line(template, language, **line_context(view))
            except TemplateInvalid as error:
                return f"with a single article: {error}" if len(sections) == 1 else str(error)
    return None


def _sample(language: str, title: str, sections: Sequence[str], more: int) -> DigestView:
    items = [
        ItemView(title=f"Headline {n}", url="", excerpt="", section=section)
        for n, section in enumerate(sections, start=1)
    ]
    return DigestView(
        language=language,
        newsletter_title=title,
        sender="",
        postal_address="",
        date="1",
        items=tuple(items),
        base_url="",
        site_title="",
        more_count=more,
    )


def shortened(text: str, limit: int) -> str:
    """One line of at most `limit` characters, cut at a blank where there is one near."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    blank = cut.rfind(" ")
    if blank > limit - 25:
        cut = cut[:blank]
    return cut.rstrip(" ,;:-–—，；：、\u200d\ufe0f") + "…"
