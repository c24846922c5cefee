"""A subscriber's own page for one newsletter: how it comes, and pausing it.

The link is good for one subscription; it may be forwarded, so the page names nobody, and nothing
else they read. Looking changes nothing: mail scanners follow links.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from feedsvc.audience.choices import Choices, change_choices, pause, resume
from feedsvc.audience.lookup import ChoicesView, find_choices
from feedsvc.audience.offers import load_schedules
from feedsvc.audience.preferences import (
    check_subscribed,
    pause_ends_at,
    read_language,
    read_topics,
    read_zone,
)
from feedsvc.audience.zones import suggested_zones, usable_zone
from feedsvc.editions.calendar import Rhythm, next_due_at, next_local_period
from feedsvc.errors import ChoiceInvalid, NotSubscribed
from feedsvc.kit.texts import LANGUAGES, Texts, negotiate
from feedsvc.kit.tokens import Scope
from feedsvc.model.newsletter import Schedule
from feedsvc.model.subscriber import Resume, SubscriptionState
from feedsvc.web.pages import LANGUAGE_NAMES, reader_language, show_page
from feedsvc.web.security import PageKind
from feedsvc.web.services import services_of
from feedsvc.web.subscribe.fields import read_all, read_fields, showable
from feedsvc.web.subscribe.form import Choice, schedules
from feedsvc.web.subscribe.topics import topics_on_offer

router = APIRouter()

_BY = "subscriber"


@dataclass(frozen=True, slots=True)
class Entered:
    """What stands in the fields, and what is wrong with it, by field."""

    schedule: str
    all_topics: bool
    topics: Sequence[str]
    language: str
    zone: str
    until: str
    resume: str
    problems: Mapping[str, str] = field(default_factory=dict)


@router.api_route("/preferences/{token}", methods=["GET", "HEAD"])
async def show_preferences(request: Request, token: str) -> Response:
    """What is chosen, in a form; changes nothing.

    Raises:
        InvalidToken: answered like an unknown page.
    """
    return await _show(request, token)


@router.post("/preferences/{token}")
async def take_preferences(request: Request, token: str) -> Response:
    """Save what was chosen, and show what is true now; 422 when a field needs mending.

    Raises:
        InvalidToken: answered like an unknown page.
    """
    services = services_of(request)
    (subscription_id,) = services.keyring.verify(Scope.PREFERENCES, token, services.clock())
    typed, topics = await read_fields(request), await read_all(request, "topic")
    texts = Texts(reader_language(request, services.settings))
    async with services.database.read() as session:
        view = await find_choices(session, subscription_id)
    if view is None or not _is_subscribed(view):
        return await _show(request, token)
    do = typed.get("do", "")
    problems = {} if do == "resume" else _check(do, typed, topics, view, services.clock(), texts)
    if not problems:
        try:
            async with services.database.write() as session:
                await _save(session, subscription_id, typed, topics, view, services.clock())
        except ChoiceInvalid as error:
            problems[error.field] = _problem(error.field, texts)
        except NotSubscribed:  # left this very moment
            return await _show(request, token)
    if problems:
        return await _show(request, token, _entered(view, typed, topics, problems))
    return await _show(request, token, done=do)


async def _save(
    session: AsyncSession,
    subscription_id: int,
    typed: Mapping[str, str],
    topics: Sequence[str],
    view: ChoicesView,
    now: datetime,
) -> None:
    """Do what the pressed button says, with fields that have been checked."""
    match typed.get("do"):
        case "pause":
            until = _until(typed, view, now)
            how = Resume(typed.get("resume", view.resume))
            await pause(session, subscription_id, until, how, now, _BY)
        case "resume":
            chosen = typed.get("resume")
            how_now = Resume(chosen) if chosen in list(Resume) else None
            await resume(session, subscription_id, now, _BY, how_now)
        case _:
            language = typed.get("language")
            if language is not None and negotiate([language]) == negotiate([view.language]):
                language = None  # "zh-CN" is shown as "zh"
            wanted = Choices(
                schedule=typed.get("schedule"),
                topics=None if "which" not in typed else _chosen_topics(typed, topics),
                language=language,
                zone=typed.get("zone"),
            )
            await change_choices(session, subscription_id, wanted, now, _BY)


def _check(
    do: str,
    typed: Mapping[str, str],
    topics: Sequence[str],
    view: ChoicesView,
    now: datetime,
    texts: Texts,
) -> dict[str, str]:
    """What is to be mended, by field. What only the database knows is checked where it is saved."""
    checks: list[tuple[str, Callable[[], object]]]
    if do == "pause":
        checks = [
            ("until", lambda: _until(typed, view, now)),
            ("resume", lambda: Resume(typed.get("resume", view.resume))),
        ]
    else:
        checks = [
            ("topics", lambda: read_topics(_chosen_topics(typed, topics))),
            ("language", lambda: read_language(typed.get("language", "en"))),
            ("zone", lambda: read_zone(typed.get("zone", ""))),
        ]
    problems = {}
    for name, check in checks:
        try:
            check()
        except (ChoiceInvalid, ValueError):
            problems[name] = _problem(name, texts)
    if do != "pause" and typed.get("which") == "some" and not topics:
        problems = {"topics": texts.gettext("Choose a topic, or all of them."), **problems}
    return problems


def _problem(name: str, texts: Texts) -> str:
    words = {
        "schedule": texts.gettext("Choose how often you want it."),
        "topics": texts.gettext("Choose some of the topics that are here, or all of them."),
        "language": texts.gettext("Choose one of the languages."),
        "zone": texts.gettext("Enter a time zone like Asia/Shanghai, or leave the field empty."),
        "until": texts.gettext(
            "Enter a day to come, within the next five years, or leave the field empty."
        ),
        "resume": texts.gettext("Choose what you get afterwards."),
    }
    return words[name]


def _chosen_topics(typed: Mapping[str, str], topics: Sequence[str]) -> Sequence[str]:
    return topics if typed.get("which") == "some" else ()


def _until(typed: Mapping[str, str], view: ChoicesView, now: datetime) -> datetime | None:
    """When the typed day begins where the reader is; None for none. Raises ValueError too."""
    text = typed.get("until", "").strip()
    if not text:
        return None
    ends_at = pause_ends_at(date.fromisoformat(text), _zone(view), now)
    if ends_at <= now:
        raise ChoiceInvalid("until", "has come already")
    return ends_at


def _zone(view: ChoicesView) -> str:
    return usable_zone(view.zone, view.schedule.zone)


def _is_subscribed(view: ChoicesView) -> bool:
    try:
        check_subscribed(view.state)
    except NotSubscribed:
        return False
    return True


def _entered(
    view: ChoicesView,
    typed: Mapping[str, str] | None = None,
    topics: Sequence[str] = (),
    problems: Mapping[str, str] | None = None,
) -> Entered:
    """What the fields show: what was typed, else what is true."""
    typed = typed or {}
    until = ""
    if view.paused_until is not None:
        until = view.paused_until.astimezone(ZoneInfo(_zone(view))).date().isoformat()
    return Entered(
        schedule=typed.get("schedule", view.schedule.key),
        all_topics=typed["which"] != "some" if "which" in typed else not view.topics,
        topics=topics if "which" in typed else view.topics,
        language=typed.get("language", negotiate([view.language])),
        zone=showable(typed.get("zone", view.zone)),
        until=showable(typed.get("until", until)),
        resume=typed.get("resume", view.resume.value),
        problems=problems or {},
    )


async def _show(
    request: Request, token: str, entered: Entered | None = None, done: str = ""
) -> Response:
    services = services_of(request)
    now, settings = services.clock(), services.settings
    (subscription_id,) = services.keyring.verify(Scope.PREFERENCES, token, now)
    async with services.database.read() as session:
        view = await find_choices(session, subscription_id)
        rows = await load_schedules(session, view.newsletter.id or 0) if view else {}
    leave = services.keyring.sign(Scope.UNSUBSCRIBE, subscription_id)
    newsletter = settings.newsletters.get(view.newsletter.key) if view else None
    if view is None or newsletter is None or not _is_subscribed(view):
        over = view is not None and _is_subscribed(view)
        return show_page(
            request, "preferences_over.html", PageKind.PERSONAL, view=view, over=over, leave=leave
        )
    texts = Texts(reader_language(request, settings))
    offered = await topics_on_offer(request, view.newsletter.key)
    return show_page(
        request,
        "preferences.html",
        PageKind.PERSONAL,
        status=422 if entered else 200,
        token=token,
        leave=leave,
        newsletter=newsletter,
        newsletter_language=newsletter.language or settings.language,
        entries=entered or _entered(view),
        done=done,
        schedules=[
            (one, _next_due(rows[one.value], view, now, texts))
            for one in schedules(newsletter, settings, texts)
            if one.value in rows
        ],
        topics=sorted({*offered, *view.topics}),
        languages=[Choice(code, LANGUAGE_NAMES[code]) for code in LANGUAGES],
        zones=suggested_zones(),
        usual_zone=view.schedule.zone,
        is_stranded=view.schedule.retired,
        paused=view.state is SubscriptionState.PAUSED,
        paused_until=view.paused_until
        and texts.datetime(view.paused_until, _zone(view), show_zone=True),
        resumes=_resumes(texts),
    )


def _next_due(schedule: Schedule, view: ChoicesView, now: datetime, texts: Texts) -> str | None:
    """When a schedule comes due next, in its zone; None when that depends on the articles."""
    rhythm, zone = Rhythm.of(schedule), schedule.zone
    if schedule.is_each_article:
        return None
    if schedule.own_zone:
        zone = _zone(view)
        period = next_local_period(rhythm, zone, now)
        due_at = period.due_at if period else None
    else:
        due_at = next_due_at(rhythm, now)
    return texts.datetime(due_at, zone, show_zone=True) if due_at else None


def _resumes(texts: Texts) -> list[Choice]:
    return [
        Choice(
            Resume.CATCH_UP,
            texts.gettext("Catch me up"),
            texts.gettext("The next mail also has what was published during the pause."),
        ),
        Choice(
            Resume.NOW,
            texts.gettext("From then on"),
            texts.gettext("What was published during the pause is not sent."),
        ),
    ]
