"""The kinds of value a setting may have, and what is said when it is none."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parseaddr
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from cronsim import CronSim, CronSimError
from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict

from feedsvc.model.language import language_tag

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}\Z")
#: A host with or without a port: no user, no password, no blank.
HOST = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s@:/\[\]]+)(?::[0-9]+)?\Z")
_ONE_LINE = re.compile(r"[^\x00-\x1f\x7f\x85\u2028\u2029]+\Z")


def check_zone(value: str) -> str:
    """The name of a zone, if there is such a one. Raises ValueError."""
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(
            f"not a time zone name: {value!r} (write for example Asia/Shanghai)"
        ) from error
    return value


def _check_cron(value: str) -> str:
    if len(value.split()) != 5:
        raise ValueError("a schedule has five fields: minute hour day month weekday")
    try:
        if next(CronSim(value, datetime.now(UTC)), None) is None:
            raise ValueError(f"never comes due: {value!r}")
    except CronSimError as error:
        raise ValueError(f"not a schedule: {error}") from error
    return value


_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class QuietSpan:
    """Days on which nothing comes due: one weekday (0 is Monday), or from one day to another."""

    weekday: int | None = None
    first: date | None = None
    last: date | None = None

    def holds(self, day: date) -> bool:
        """Whether a day is among them."""
        if self.first is None or self.last is None:
            return day.weekday() == self.weekday
        return self.first <= day <= self.last


def read_quiet_day(text: str) -> QuietSpan:
    """Days written as `sun`, `2026-10-01` or `2026-10-01..2026-10-07`. Raises ValueError."""
    written = text.strip().lower()
    if written in _WEEKDAYS:
        return QuietSpan(weekday=_WEEKDAYS.index(written))
    first, dots, last = written.partition("..")
    try:
        begins = date.fromisoformat(first.strip())
        ends = date.fromisoformat(last.strip()) if dots else begins
    except ValueError as error:
        raise ValueError(
            f'not a day: {text!r} (write "sun", "2026-10-01" or "2026-10-01..2026-10-07")'
        ) from error
    if ends < begins:
        raise ValueError(f"ends before it begins: {text!r}")
    return QuietSpan(first=begins, last=ends)


def _check_quiet_day(value: str) -> str:
    read_quiet_day(value)
    return value.strip().lower()


def _check_language(value: str) -> str:
    try:
        Locale.parse(value, sep="-")
    except (UnknownLocaleError, ValueError) as error:
        raise ValueError(
            f"not a language tag: {value!r} (write for example zh-CN or en)"
        ) from error
    return language_tag(value)


def _check_one_line(value: str) -> str:
    if not _ONE_LINE.match(value.strip()):
        raise ValueError("must be one line of text, and not empty")
    return value.strip()


def check_path(value: Path) -> Path:
    if value == Path():
        raise ValueError("name a folder or file of its own")
    return value


def _check_key(value: str) -> str:
    if not _KEY.match(value):
        raise ValueError(
            "a name has lower-case letters, digits, - and _, at most 50, and starts with a letter"
            " or digit"
        )
    return value


Zone = Annotated[str, AfterValidator(check_zone)]
QuietDay = Annotated[str, AfterValidator(_check_quiet_day)]
Cron = Annotated[str, AfterValidator(_check_cron)]
Language = Annotated[str, AfterValidator(_check_language)]
OneLine = Annotated[str, AfterValidator(_check_one_line)]
Key = Annotated[str, AfterValidator(_check_key)]


#: Of who sends, in characters.
_LONGEST_NAME = 200


def split_mailbox(value: str) -> tuple[str, str]:
    """Name and address of a mailbox such as `News <news@example.com>`."""
    return parseaddr(value)


def _check_mailbox(value: str) -> str:
    value = _check_one_line(value)
    name, address = split_mailbox(value)
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"the name before the address has more than {_LONGEST_NAME} characters")
    try:
        # Names under .test, .example and localhost are fine for a service that is being tried.
        validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(f"needs an address, such as News <news@example.com>: {error}") from error
    return value


Mailbox = Annotated[str, AfterValidator(_check_mailbox)]


def _check_web_address(value: str) -> str:
    parts = urlsplit(value)
    try:
        is_address = parts.scheme in ("http", "https") and bool(HOST.match(parts.netloc))
        is_address = is_address and parts.port != 0 and not re.search(r"[\s<>\"]", value)
    except ValueError:  # a port beyond 65535
        is_address = False
    if not is_address:
        raise ValueError("write an address that starts with https:// or http://")
    return value


def _check_network(value: str) -> str:
    try:
        return str(ip_network(value, strict=False))
    except ValueError as error:
        raise ValueError(
            f"not an address or network: {value!r} (write for example 10.0.0.5 or 10.0.0.0/8)"
        ) from error


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` mails in any `seconds`."""

    count: int
    seconds: int


_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE = re.compile(r"([1-9][0-9]{0,8}) ?/ ?(second|minute|hour|day)")


def read_rate(text: str) -> Rate:
    """A rate such as `500/hour`. Raises ValueError."""
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f'not a rate: {text!r} (write for example "500/hour")')
    return Rate(int(found[1]), _PERIODS[found[2]])


def _check_rate(value: str) -> str:
    read_rate(value)
    return value


_DOMAIN_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.(?!-)[a-z0-9-]{1,63})+")


def _check_domain(value: str) -> str:
    try:
        name = value.strip().rstrip(".").encode("idna").decode().lower()
    except UnicodeError as error:
        raise ValueError(f"not a domain: {value!r}") from error
    if not _DOMAIN_NAME.fullmatch(name):
        raise ValueError(f"not a domain: {value!r} (write for example example.com)")
    return name


def _check_provider(value: str) -> str:
    return _check_domain(value) if "." in value else _check_key(value)


RateLimit = Annotated[str, AfterValidator(_check_rate)]
DomainName = Annotated[str, AfterValidator(_check_domain)]
ProviderName = Annotated[str, AfterValidator(_check_provider)]
WebAddress = Annotated[str, AfterValidator(_check_web_address)]
Network = Annotated[str, AfterValidator(_check_network)]


class Section(BaseModel):
    """A table of the configuration file."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)
