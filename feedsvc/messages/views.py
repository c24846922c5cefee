"""What a mail says, before it has a form: the same for a whole cohort, nobody's values.

Everything in a view comes from outside; `cleaned()` takes out what could do harm in any form the
text is given later (control characters, slots of our own making, addresses that are not pages).
"""

import re
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

from feedsvc.kit.letters import Prose
from feedsvc.messages.splice import without_markers
from feedsvc.model.notice import NoticeKind

PLAIN_THEME = "plain"
# Controls, line and paragraph separators, and what reverses the direction of the text around it.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]+")
_WEB = re.compile(r"https?://", re.IGNORECASE)
_View = TypeVar("_View")


@dataclass(frozen=True, slots=True)
class ItemView:
    """One article as a mail shows it; all plain text."""

    title: str
    url: str
    excerpt: str
    section: str = ""
    #: BCP 47 tag of the article, which may differ from the mail's.
    lang: str = ""
    #: When it was published, in words, with its zone.
    published: str = ""
    authors: tuple[str, ...] = ()
    #: Address of an image, and what it tells; one that tells nothing is not shown.
    image: str = ""
    image_alt: str = ""
    #: Addresses of a recording that goes with it.
    audio: str = ""
    video: str = ""
    #: The name of the section that begins with this article; empty where none does.
    heading: str = ""
    #: It is shown larger than the others, before all sections.
    is_lead: bool = False
    #: Number of the article: on the page its part is marked with it, so that it can be taken out
    #: when the article is withdrawn.
    id: int = 0


@dataclass(frozen=True, slots=True)
class DigestView:
    """What a digest says, the same for a whole cohort."""

    #: Language of the mail's own words; any BCP 47 tag.
    language: str
    newsletter_title: str
    sender: str
    postal_address: str
    #: Day of the edition in words (Texts.date).
    date: str
    items: tuple[ItemView, ...]
    base_url: str
    site_title: str
    newsletter_description: str = ""
    #: The subscribers' rhythm in words (Texts.schedule); empty when sent by hand.
    schedule: str = ""
    #: Articles that are new too but not in `items`; the first of them, for the page, are in `more`.
    more_count: int = 0
    more: tuple[ItemView, ...] = ()
    #: Articles stand under the names of their sections.
    by_section: bool = False
    #: What is said to somebody who has just come; else empty.
    greeting: str = ""
    #: What the operator says about this edition, and in the editions of these days.
    intro: Prose | None = None
    notes: tuple[Prose, ...] = ()
    theme: str = PLAIN_THEME


@dataclass(frozen=True, slots=True)
class LetterView:
    """What an operator has written to subscribers: an announcement, or a correction."""

    language: str
    newsletter_title: str
    sender: str
    postal_address: str
    subject: str
    #: Day of the letter in words.
    date: str
    body: Prose
    base_url: str
    site_title: str
    #: The article that is corrected.
    article: ItemView | None = None
    theme: str = PLAIN_THEME


@dataclass(frozen=True, slots=True)
class NoticeView:
    """What a notice says. SECURITY: nothing in here was typed by a visitor."""

    language: str
    newsletter_title: str
    sender: str
    postal_address: str
    base_url: str
    site_title: str
    #: Until when its link works, in words, with its zone.
    expires: str
    schedule: str = ""
    kind: NoticeKind = NoticeKind.CONFIRMATION
    theme: str = PLAIN_THEME


def cleaned(view: _View) -> _View:
    """The view with every text on one line, harmless in any place a template may put it."""
    clean: _View = _clean(view)
    return clean


def _clean(value: Any) -> Any:
    if isinstance(value, (NoticeKind, Prose)):  # ours; prose is made clean
        return value
    if isinstance(value, str):
        writable = without_markers(value).encode("utf-8", "replace").decode()
        return " ".join(_CONTROLS.sub(" ", writable).split())
    if isinstance(value, tuple):
        return tuple(_clean(one) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        clean = {one.name: _clean(getattr(value, one.name)) for one in fields(value)}
        # SECURITY: no javascript: or data: address becomes a link, whatever the sources let pass.
        for name in ("url", "image", "audio", "video"):
            if name in clean and not _WEB.match(clean[name]):
                clean[name] = ""
        return replace(value, **clean)
    return value
