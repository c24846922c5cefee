"""What a subscriber may choose, and what pausing and going on come to.

Pure: values and `now` in, values out. Doing what it says is the work of `choices`.
"""

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from feedsvc.audience.zones import find_zone
from feedsvc.errors import ChoiceInvalid, NotSubscribed
from feedsvc.kit.texts import LANGUAGES
from feedsvc.model.article import LABEL_LENGTH
from feedsvc.model.language import language_tag
from feedsvc.model.subscriber import Resume, SubscriptionState

#: Topics one person chooses for one newsletter at most, …
MAX_TOPICS = 40
#: … and the bytes they take as JSON: readers are grouped by them in an index.
MAX_TOPICS_BYTES = 1500
#: A pause with a date is no longer than this; one without ends when they say so.
MAX_PAUSE = timedelta(days=5 * 366)
_TOO_LATE = "that has come already; choose a later day"
_TOO_FAR = "that is too far away; pause without a date instead"
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{1,8}){0,3}")


@dataclass(frozen=True, slots=True)
class Choices:
    """What somebody wants to change; None leaves a thing as it is.

    `schedule` is a key; no topics are all topics; an empty zone is that of the schedule.
    """

    schedule: str | None = None
    topics: Sequence[str] | None = None
    language: str | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """What somebody has chosen, as it stands in their subscription."""

    schedule: str
    topics: tuple[str, ...]
    language: str
    zone: str


@dataclass(frozen=True, slots=True)
class Going:
    """Whether a subscription goes on, and if not, until when and from where it will."""

    state: SubscriptionState
    until: datetime | None = None
    resume: Resume = Resume.CATCH_UP


def plan_change(
    chosen: Chosen, wanted: Choices, schedules: Collection[str], topics: Collection[str]
) -> Chosen:
    """What is chosen after a change.

    Args:
        chosen: what is chosen now; all of it may be kept, also what is no longer on offer.
        wanted: the change.
        schedules: keys of the newsletter's schedules.
        topics: those of `wanted` that the newsletter knows.

    Raises:
        ChoiceInvalid: something is not to be had.
    """
    schedule = chosen.schedule if wanted.schedule is None else wanted.schedule
    if schedule != chosen.schedule and schedule not in schedules:
        there = ", ".join(sorted(schedules)) or "none"
        raise ChoiceInvalid("schedule", f"there is no {schedule!r} (there are: {there})")
    return Chosen(
        schedule=schedule,
        topics=chosen.topics
        if wanted.topics is None
        else _known_topics(wanted.topics, {*chosen.topics, *topics}),
        language=chosen.language if wanted.language is None else read_language(wanted.language),
        zone=chosen.zone if wanted.zone is None else read_zone(wanted.zone),
    )


def read_topics(topics: Iterable[str]) -> list[str]:
    """Topics in order, each once. Raises ChoiceInvalid: unusable, or too many."""
    read = sorted({topic.strip() for topic in topics})
    for topic in read:
        if not topic or len(topic) > LABEL_LENGTH or not is_plain(topic):
            raise ChoiceInvalid("topics", "a topic is one line of text, and not empty")
    if len(read) > MAX_TOPICS:
        raise ChoiceInvalid("topics", f"at most {MAX_TOPICS} can be chosen, these are {len(read)}")
    if len(json.dumps(read, ensure_ascii=False).encode()) > MAX_TOPICS_BYTES:
        raise ChoiceInvalid("topics", "these are too long taken together; choose fewer")
    return read


def read_language(text: str) -> str:
    """A language tag in the usual case, of a language we speak. Raises ChoiceInvalid."""
    tag = language_tag(text.strip())
    if not _LANGUAGE.fullmatch(tag) or tag.partition("-")[0] not in LANGUAGES:
        raise ChoiceInvalid("language", f"mails are written in: {', '.join(LANGUAGES)}")
    return tag


def read_zone(text: str) -> str:
    """A zone's IANA name; empty for that of the schedule. Raises ChoiceInvalid."""
    if not text.strip():
        return ""
    if (zone := find_zone(text)) is None:
        raise ChoiceInvalid("zone", "no such time zone; write for example Asia/Shanghai")
    return zone


def is_plain(text: str) -> bool:
    """Whether a text has nothing in it that cannot be stored or shown."""
    return not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in text)


def list_changes(before: Any, after: Any) -> dict[str, dict[str, Any]]:
    """The fields in which two values of a class differ, for the log; empty when none does."""
    names = [
        one.name for one in fields(before) if getattr(before, one.name) != getattr(after, one.name)
    ]
    if not names:
        return {}
    return {"before": _logged(before, names), "after": _logged(after, names)}


def plan_pause(going: Going, until: datetime | None, resume: Resume, now: datetime) -> Going:
    """How a subscription stands once it is paused. One that is paused may be paused otherwise.

    Args:
        until: when it goes on; None: when they say so.

    Raises:
        NotSubscribed: it is not confirmed, or has been ended.
        ChoiceInvalid: the date has come already, or never will.
    """
    check_subscribed(going.state)
    if until is not None and until <= now:
        raise ChoiceInvalid("until", _TOO_LATE)
    if until is not None and until - now > MAX_PAUSE:
        raise ChoiceInvalid("until", _TOO_FAR)
    return Going(SubscriptionState.PAUSED, until, resume)


def pause_ends_at(day: date, zone: str, now: datetime) -> datetime:
    """When a day begins in a zone. Raises ChoiceInvalid: too far away for any pause."""
    if day - now.date() > MAX_PAUSE:
        raise ChoiceInvalid("until", _TOO_FAR)
    if day < now.date() - timedelta(days=1):  # past in every zone
        raise ChoiceInvalid("until", _TOO_LATE)
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def plan_cursor(resume: Resume, cursor: int, newest: int) -> int:
    """Where somebody who goes on stands; never further back than they stood."""
    return max(cursor, newest) if resume is Resume.NOW else cursor


def check_subscribed(state: SubscriptionState) -> None:
    """Raises NotSubscribed when there is no subscription to choose anything for."""
    if state is SubscriptionState.PENDING:
        raise NotSubscribed("not confirmed yet: what was asked for comes true when they confirm")
    if state is SubscriptionState.UNSUBSCRIBED:
        raise NotSubscribed("unsubscribed; only their own confirmation brings them back")


def _known_topics(wanted: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    read = read_topics(wanted)
    if unknown := [topic for topic in read if topic not in known]:
        named = ", ".join(repr(topic) for topic in unknown[:3])
        raise ChoiceInvalid("topics", f"no article has {named}")
    return tuple(read)


def _logged(value: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: _as_json(getattr(value, name)) for name in names}


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value
