"""Asking for a newsletter. Whoever asks, and whatever is known of the address, sees the same."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from fastapi import APIRouter, HTTPException, Request
from sqlalchemy import select
from sqlmodel import col
from starlette.responses import Response

from feedsvc.audience.subscriptions import FORM, request_subscription
from feedsvc.config import NewsletterSettings, Settings
from feedsvc.db.engine import after_commit
from feedsvc.errors import InvalidAddress
from feedsvc.kit.addresses import Address, parse_address
from feedsvc.kit.texts import LANGUAGES, Texts
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.web.pages import LANGUAGE_NAMES, reader_language, show_page
from feedsvc.web.security import PageKind, evened_out
from feedsvc.web.services import WebServices, services_of

router = APIRouter()

#: A field no person sees; what fills it in is a machine.
TRAP = "homepage"
_MAX_FIELDS = 20
_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several that can be chosen: what is sent, and how it reads."""

    value: str
    label: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Entries:
    """What was typed, as it was typed, and what is wrong with it, by field."""

    address: str = ""
    name: str = ""
    schedule: str = ""
    language: str = ""
    problems: Mapping[str, str] = field(default_factory=dict)
    parsed: Address | None = None


@router.api_route("/subscribe", methods=["GET", "HEAD"])
async def show_newsletters(request: Request) -> Response:
    """What can be subscribed to; where it is one newsletter, its form."""
    settings = services_of(request).settings
    texts = Texts(reader_language(request, settings))
    public = {key: one for key, one in settings.newsletters.items() if one.public}
    if len(public) == 1:
        (key,) = public
        return _show_form(request, key, public[key], texts)
    newsletters = [
        (
            key,
            one,
            one.language or settings.language,
            [choice.words for choice in schedules(one, settings, texts)],
        )
        for key, one in public.items()
    ]
    return show_page(
        request,
        "newsletters.html",
        PageKind.PUBLIC,
        canonical=f"{settings.base_url}/subscribe",
        newsletters=newsletters,
    )


@router.api_route("/subscribe/{key}", methods=["GET", "HEAD"])
async def show_form(request: Request, key: str) -> Response:
    """The form of one newsletter."""
    settings = services_of(request).settings
    newsletter = settings.newsletters.get(key)
    if newsletter is None or not newsletter.public:
        raise HTTPException(404)
    return _show_form(request, key, newsletter, Texts(reader_language(request, settings)))


@router.post("/subscribe/{key}")
async def take_request(request: Request, key: str) -> Response:
    """Take a request to subscribe; 422 and the form again when a field needs mending.

    SECURITY: the answer is the same bytes for every address, and for a newsletter that is private
    or not there.
    """
    services = services_of(request)
    settings = services.settings
    newsletter = settings.newsletters.get(key)
    typed = await read_fields(request)
    if newsletter is not None and newsletter.public and not typed.get(TRAP):
        texts = Texts(reader_language(request, settings))
        entries = check_entries(typed, newsletter, texts)
        if entries.parsed is None or entries.problems:
            return _show_form(request, key, newsletter, texts, entries)
        consent = consent_text(newsletter, texts)
        async with evened_out():
            await _save_request(services, key, entries, entries.parsed, consent)
    return show_page(request, "asked.html", PageKind.ANSWER)


async def read_fields(request: Request) -> dict[str, str]:
    """The text fields of a form, urlencoded or multipart; the last of each name, no files.

    Raises:
        HTTPException: 400, not a form.
    """
    form = await request.form(max_files=0, max_fields=_MAX_FIELDS)
    return {name: value for name, value in form.multi_items() if isinstance(value, str)}


def check_entries(
    typed: Mapping[str, str], newsletter: NewsletterSettings, texts: Texts
) -> Entries:
    """Read what was typed, and say in the reader's language what is to be mended."""
    problems: dict[str, str] = {}
    address = typed.get("address", "").strip()
    parsed = None
    if not address:
        problems["address"] = texts.gettext("Enter your e-mail address.")
    else:
        try:
            parsed = parse_address(address)
            if parsed.smtputf8:
                problems["address"] = texts.gettext(
                    "We cannot send to an address with such letters before the @ yet."
                    " Enter another one."
                )
        except InvalidAddress:
            problems["address"] = texts.gettext(
                "Enter an e-mail address like name@example.com, without spaces."
            )
    name = typed.get("name", "").strip()
    if len(name) > _MAX_NAME:
        problems["name"] = texts.gettext("Enter a name of at most 200 characters.")
    elif not _is_plain_line(name):
        problems["name"] = texts.gettext("Enter your name in one line of plain text.")
    schedule = typed.get("schedule", "")
    if schedule not in newsletter.schedules:
        problems["schedule"] = texts.gettext("Choose how often you want it.")
    language = typed.get("language", texts.language)
    if language not in LANGUAGES:
        problems["language"] = texts.gettext("Choose one of the languages.")
    return Entries(_showable(address), _showable(name), schedule, language, problems, parsed)


def schedules(newsletter: NewsletterSettings, settings: Settings, texts: Texts) -> list[Choice]:
    """The rhythms of a newsletter, with their label and in words."""
    return [
        Choice(key, one.label, texts.schedule(one.cron, one.time_zone or settings.time_zone))
        for key, one in newsletter.schedules.items()
    ]


def consent_text(newsletter: NewsletterSettings, texts: Texts) -> str:
    """What a person agrees to; kept with their consent word for word."""
    return texts.gettext(
        "You ask %(sender)s to send you “%(newsletter)s” by e-mail. You can unsubscribe at any"
        " time with the link in every mail.",
        sender=newsletter.sender,
        newsletter=newsletter.title,
    )


def _is_plain_line(text: str) -> bool:
    """No control, line or paragraph separators, surrogates, or marks that turn text around."""
    return not any(
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character)
        in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        for character in text
    )


def _showable(text: str) -> str:
    """What was typed, without control characters and others that may not stand in HTML."""
    return "".join(
        character
        for character in text
        if unicodedata.category(character) not in ("Cc", "Cs")
        and ord(character) & 0xFFFE != 0xFFFE
        and not 0xFDD0 <= ord(character) <= 0xFDEF
    )


def _show_form(
    request: Request,
    key: str,
    newsletter: NewsletterSettings,
    texts: Texts,
    entries: Entries | None = None,
) -> Response:
    settings = services_of(request).settings
    choices = schedules(newsletter, settings, texts)
    return show_page(
        request,
        "subscribe.html",
        PageKind.ANSWER if entries else PageKind.PUBLIC,
        status=422 if entries else 200,
        canonical=None if entries else f"{settings.base_url}/subscribe/{key}",
        key=key,
        newsletter=newsletter,
        newsletter_language=newsletter.language or settings.language,
        entries=entries or Entries(schedule=choices[0].value, language=texts.language),
        schedules=choices,
        languages=[Choice(code, LANGUAGE_NAMES[code]) for code in LANGUAGES],
        consent_text=consent_text(newsletter, texts),
        trap=TRAP,
    )


async def _save_request(
    services: WebServices, key: str, entries: Entries, address: Address, consent: str
) -> None:
    now = services.clock()
    async with services.database.write() as session:
        query = (
            select(Newsletter, Schedule)
            .join(Schedule, col(Schedule.newsletter_id) == col(Newsletter.id))
            .where(col(Newsletter.key) == key, col(Schedule.key) == entries.schedule)
        )
        newsletter, schedule = (await session.execute(query)).one()
        await request_subscription(
            session,
            newsletter=newsletter,
            schedule=schedule,
            address=address,
            name=entries.name,
            language=entries.language,
            zone=None,
            topics=(),
            now=now,
            how=FORM,
            consent_text=consent,
            notice_expires_at=now + timedelta(hours=services.settings.sending.notice_expires_hours),
        )
        after_commit(session, services.poke)
