"""Asking for a newsletter. Whoever asks, and whatever is known of the address, sees the same."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, HTTPException, Request
from sqlalchemy import select
from sqlmodel import col
from starlette.responses import Response

from feedsvc.audience.preferences import read_topics
from feedsvc.audience.subscriptions import FORM, request_subscription
from feedsvc.audience.zones import find_zone, suggested_zones
from feedsvc.config import Settings
from feedsvc.config_newsletters import NewsletterSettings, ScheduleSettings
from feedsvc.db.engine import after_commit
from feedsvc.editions.calendar import Rhythm, next_due_at, next_local_period
from feedsvc.errors import ChoiceInvalid, InvalidAddress
from feedsvc.kit.addresses import Address, parse_address
from feedsvc.kit.texts import LANGUAGES, Texts
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.web.pages import LANGUAGE_NAMES, reader_language, show_page
from feedsvc.web.security import PageKind, evened_out
from feedsvc.web.services import WebServices, services_of
from feedsvc.web.subscribe.fields import is_plain_line, read_all, read_fields, showable
from feedsvc.web.subscribe.topics import topics_on_offer

router = APIRouter()

#: A field no person sees; what fills it in is a machine.
TRAP = "homepage"
_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several that can be chosen: what is sent, and how it reads."""

    value: str
    label: str
    words: str = ""
    description: str = ""
    #: When it comes next, in words.
    next: str = ""


@dataclass(frozen=True, slots=True)
class Entries:
    """What was typed, as it was typed, and what is wrong with it, by field."""

    address: str = ""
    name: str = ""
    schedule: str = ""
    language: str = ""
    zone: str = ""
    all_topics: bool = True
    topics: Sequence[str] = ()
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
        return await _show_form(request, key, public[key], texts)
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
    return await _show_form(request, key, newsletter, Texts(reader_language(request, settings)))


@router.post("/subscribe/{key}")
async def take_request(request: Request, key: str) -> Response:
    """Take a request to subscribe; 422 and the form again when a field needs mending.

    SECURITY: the answer is the same bytes for every address, and for a newsletter that is private
    or not there.
    """
    services = services_of(request)
    settings = services.settings
    newsletter = settings.newsletters.get(key)
    typed, topics = await read_fields(request), await read_all(request, "topic")
    if newsletter is not None and newsletter.public and not typed.get(TRAP):
        texts = Texts(reader_language(request, settings))
        offered = await topics_on_offer(request, key)
        entries = check_entries(typed, newsletter, texts, topics=topics, offered=offered)
        if entries.parsed is None or entries.problems:
            return await _show_form(request, key, newsletter, texts, entries)
        consent = consent_text(newsletter, texts)
        async with evened_out():
            await _save_request(services, key, entries, entries.parsed, consent)
    return show_page(request, "asked.html", PageKind.ANSWER)


def check_entries(
    typed: Mapping[str, str],
    newsletter: NewsletterSettings,
    texts: Texts,
    *,
    topics: Sequence[str] = (),
    offered: Collection[str] = (),
) -> Entries:
    """Read what was typed, and say in the reader's language what is to be mended.

    Args:
        topics: those that were ticked.
        offered: those that could be.
    """
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
    elif not is_plain_line(name):
        problems["name"] = texts.gettext("Enter your name in one line of plain text.")
    schedule = typed.get("schedule", "")
    if schedule not in newsletter.schedules:
        problems["schedule"] = texts.gettext("Choose how often you want it.")
    language = typed.get("language", texts.language)
    if language not in LANGUAGES:
        problems["language"] = texts.gettext("Choose one of the languages.")
    if find_zone(zone := typed.get("zone", "")) is None and zone.strip():
        problems["zone"] = texts.gettext(
            "Enter a time zone like Asia/Shanghai, or leave the field empty."
        )
    all_topics = typed.get("which") != "some"
    if not all_topics and (problem := _problem_of(topics, offered, texts)):
        problems["topics"] = problem
    return Entries(
        address=showable(address),
        name=showable(name),
        schedule=schedule,
        language=language,
        zone=showable(zone),
        all_topics=all_topics,
        topics=topics,
        problems=problems,
        parsed=parsed,
    )


def _problem_of(topics: Sequence[str], offered: Collection[str], texts: Texts) -> str | None:
    if not topics:
        return texts.gettext("Choose a topic, or all of them.")
    try:
        if set(read_topics(topics)) <= set(offered):
            return None
    except ChoiceInvalid:
        pass
    return texts.gettext("Choose some of the topics that are here, or all of them.")


def schedules(
    newsletter: NewsletterSettings, settings: Settings, texts: Texts, now: datetime | None = None
) -> list[Choice]:
    """The rhythms of a newsletter, with their label and in words; when they come next, as of `now`.

    Without `now` nothing is said of the next time.
    """
    return [
        _schedule_choice(key, one, Rhythm.configured(one, settings.time_zone), texts, now)
        for key, one in newsletter.schedules.items()
    ]


def _schedule_choice(
    key: str, one: ScheduleSettings, rhythm: Rhythm, texts: Texts, now: datetime | None
) -> Choice:
    words = texts.schedule(rhythm.cron, rhythm.zone, own_zone=rhythm.own_zone)
    soon = _say_next(rhythm, texts, now) if now else ""
    return Choice(key, one.label, words, one.description, soon)


def _say_next(rhythm: Rhythm, texts: Texts, now: datetime) -> str:
    """When it comes next; empty where that follows the articles."""
    if rhythm.own_zone:
        local = next_local_period(rhythm, rhythm.zone, now)
        at = datetime.fromisoformat(local.period).replace(tzinfo=UTC) if local else None
        words = texts.datetime(at, "UTC") if at else ""
    else:
        due = next_due_at(rhythm, now)
        words = texts.datetime(due, rhythm.zone) if due else ""
    return texts.gettext("next on %(time)s", time=words) if words else ""


def consent_text(newsletter: NewsletterSettings, texts: Texts) -> str:
    """What a person agrees to; kept with their consent word for word."""
    return texts.gettext(
        "You ask %(sender)s to send you “%(newsletter)s” by e-mail. You can unsubscribe at any"
        " time with the link in every mail.",
        sender=newsletter.sender,
        newsletter=newsletter.title,
    )


async def _show_form(
    request: Request,
    key: str,
    newsletter: NewsletterSettings,
    texts: Texts,
    entries: Entries | None = None,
) -> Response:
    services = services_of(request)
    settings = services.settings
    choices = schedules(newsletter, settings, texts, services.clock())
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
        topics=await topics_on_offer(request, key),
        zones=suggested_zones(),
        usual_zone=settings.time_zone,
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
            zone=find_zone(entries.zone),
            topics=() if entries.all_topics else entries.topics,
            now=now,
            how=FORM,
            consent_text=consent,
            notice_expires_at=now + timedelta(hours=services.settings.sending.notice_expires_hours),
        )
        after_commit(session, services.poke)
