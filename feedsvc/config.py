"""The settings: the only list of keys, their defaults and their units.

Reading the file, the environment and reporting mistakes is config_file.py's work.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parseaddr
from os.path import normpath
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from cronsim import CronSim, CronSimError
from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from feedsvc.model.feed import FeedFormat
from feedsvc.model.language import language_tag

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}\Z")
#: A host with or without a port: no user, no password, no blank.
_HOST = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s@:/\[\]]+)(?::[0-9]+)?\Z")
_ONE_LINE = re.compile(r"[^\x00-\x1f\x7f\x85\u2028\u2029]+\Z")


def _check_zone(value: str) -> str:
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


def _check_path(value: Path) -> Path:
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


Zone = Annotated[str, AfterValidator(_check_zone)]
Cron = Annotated[str, AfterValidator(_check_cron)]
Language = Annotated[str, AfterValidator(_check_language)]
OneLine = Annotated[str, AfterValidator(_check_one_line)]
Key = Annotated[str, AfterValidator(_check_key)]


def split_mailbox(value: str) -> tuple[str, str]:
    """Name and address of a mailbox such as `News <news@example.com>`."""
    return parseaddr(value)


def _check_mailbox(value: str) -> str:
    value = _check_one_line(value)
    _, address = split_mailbox(value)
    try:
        # Names under .test, .example and localhost are fine for a service that is being tried.
        validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(f"needs an address, such as News <news@example.com>: {error}") from error
    return value


Mailbox = Annotated[str, AfterValidator(_check_mailbox)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class ServerSettings(_Section):
    """Where the web server listens."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)


class DatabaseSettings(_Section):
    """Where rows are kept."""

    #: `sqlite:///path` (relative to the configuration file) or `postgresql://user@host/name`.
    url: SecretStr = SecretStr("sqlite:///data/feedsvc.db")

    @field_validator("url")
    @classmethod
    def _known_kind(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("sqlite:///", "postgresql://")):
            raise ValueError("starts with sqlite:/// or postgresql://")
        return value


class KeySettings(_Section):
    """Where the signing keys are kept."""

    file: Path = Path("data/keys.json")


class TemplateSettings(_Section):
    """Where the operator's own templates are; what is missing there is taken from ours."""

    folder: Path | None = None


class SourceSettings(_Section):
    """A place articles come from."""

    #: `folder` of Markdown, HTML and text files; `page` for saved news pages (a file or a folder).
    type: Literal["folder", "page"]
    path: Annotated[Path, AfterValidator(_check_path)]
    language: Language | None = None
    #: Zone of times written without one; the service's own by default.
    time_zone: Zone | None = None
    section: OneLine | None = None
    #: Announce to subscribers what is already there at the first scan.
    announce_existing: bool = False
    #: Withdraw even when more than a fifth of the articles vanished at one scan.
    allow_mass_withdrawal: bool = False
    #: Seconds between full rescans behind the file watcher.
    rescan_seconds: float = Field(default=60, ge=0.2, le=86400)


class _Selected(_Section):
    sources: list[str] = []
    sections: list[str] = []
    topics: list[str] = []
    languages: list[Language] = []


class FeedSettings(_Selected):
    """A selection of articles published as documents for feed readers."""

    title: OneLine
    description: str = ""
    language: Language | None = None
    formats: list[FeedFormat] = Field(
        default=[FeedFormat.RSS, FeedFormat.ATOM, FeedFormat.JSON], min_length=1
    )
    #: Whole articles, or excerpts that link to them.
    content: Literal["full", "summary"] = "full"
    #: How many articles a document holds.
    window: int = Field(default=50, ge=1, le=1000)


class ScheduleSettings(_Section):
    """A rhythm of a newsletter."""

    label: OneLine
    cron: Cron
    time_zone: Zone | None = None


class NewsletterSettings(_Selected):
    """What people subscribe to."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, str_strip_whitespace=True, populate_by_name=True
    )

    title: OneLine
    description: str = ""
    language: Language | None = None
    theme: Key = "plain"
    #: Shown as the sender, such as `Morning News <news@example.com>`.
    from_: Mailbox = Field(alias="from")
    #: Who sends this, in words; stands in every mail.
    sender: OneLine
    #: Where the sender can be found by post; stands in every mail.
    postal_address: OneLine
    #: Articles in one mail; the rest are counted and linked to.
    max_items: int = Field(default=30, ge=1, le=200)
    #: Anyone may ask for it on the site.
    public: bool = True
    schedules: dict[Key, ScheduleSettings] = Field(min_length=1)


class EmlFolderRelaySettings(_Section):
    """Writes every mail as a file; nothing leaves the machine."""

    type: Literal["eml_folder"]
    path: Path = Path("outbox")
    connections: int = Field(default=4, ge=1, le=100)


class SmtpRelaySettings(_Section):
    """Hands mail to an SMTP server."""

    type: Literal["smtp"]
    host: OneLine
    port: int = Field(default=587, ge=1, le=65535)
    #: `required` (STARTTLS, never in clear), `implicit` (TLS from the first byte), `none`.
    tls: Literal["required", "implicit", "none"] = "required"
    #: Check the server's certificate; off only for a relay in your own cellar.
    verify_certificate: bool = True
    username: str | None = None
    password: SecretStr | None = None
    connections: int = Field(default=10, ge=1, le=200)
    messages_per_connection: int = Field(default=100, ge=1, le=100000)
    #: Name given in EHLO; the host's own by default.
    helo: str | None = None

    @model_validator(mode="after")
    def _no_password_in_clear(self) -> "SmtpRelaySettings":
        if self.password and self.tls == "none" and self.host not in LOOPBACK_HOSTS:
            raise ValueError('tls: a password needs tls = "required" or "implicit"')
        if (self.username is None) != (self.password is None):
            given = "username" if self.password is None else "password"
            raise ValueError(f"{given}: username and password come together")
        return self


RelaySettings = Annotated[EmlFolderRelaySettings | SmtpRelaySettings, Field(discriminator="type")]


class SendingSettings(_Section):
    """How mail is sent."""

    #: A worker whose heartbeat is older than this is dead, and its work taken over.
    heartbeat_timeout_seconds: float = Field(default=10, ge=1, le=300)
    #: What becomes of a digest whose handover got no reply: its articles come in the next one
    #: (`carry`), the same mail goes once more (`resend`), or it waits for you (`hold`).
    uncertain_digests: Literal["carry", "resend", "hold"] = "carry"
    uncertain_notices: Literal["carry", "resend", "hold"] = "resend"
    #: Seconds to the first retry of a deferred mail; later ones wait longer, up to two hours.
    first_retry_seconds: float = Field(default=300, gt=0, le=86400)
    #: Hours after which a digest still deferred is given up; its articles come in the next one.
    digest_expires_hours: float = Field(default=24, gt=0, le=120)
    notice_expires_hours: float = Field(default=48, gt=0, le=48)


class Settings(_Section):
    """Everything config.toml may say."""

    #: Address people reach this service at, without a path; links in mails start with it.
    base_url: str = "http://127.0.0.1:8000"
    title: OneLine = "feedsvc"
    language: Language = "en"
    time_zone: Zone = "UTC"
    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    keys: KeySettings = KeySettings()
    templates: TemplateSettings = TemplateSettings()
    sending: SendingSettings = SendingSettings()
    sources: dict[Key, SourceSettings] = {}
    feeds: dict[Key, FeedSettings] = {}
    newsletters: dict[Key, NewsletterSettings] = {}
    relay: RelaySettings = EmlFolderRelaySettings(type="eml_folder")

    @field_validator("base_url")
    @classmethod
    def _base_url_is_absolute(cls, value: str) -> str:
        parts = urlsplit(value)
        try:
            is_address = parts.scheme in ("http", "https") and bool(_HOST.match(parts.netloc))
            is_address = is_address and parts.port != 0
        except ValueError:  # a port beyond 65535
            is_address = False
        if not is_address:
            raise ValueError("write an address such as https://news.example.com")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError("write it without a path: feedsvc needs a host of its own")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _parts_fit_together(self) -> "Settings":
        problems = [
            *self._one_click_needs_https(),
            *self._sources_exist(),
            *self._sources_are_apart(),
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _one_click_needs_https(self) -> Iterator[str]:
        parts = urlsplit(self.base_url)
        if self.newsletters and parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS:
            yield (
                "base_url: one-click unsubscribe (RFC 8058) needs https://, and there are"
                " newsletters"
            )

    def _sources_exist(self) -> Iterator[str]:
        for kind, selected in (("feeds", self.feeds), ("newsletters", self.newsletters)):
            for key, one in selected.items():
                for source in one.sources:
                    if source not in self.sources:
                        yield f"{kind}.{key}.sources: no source is named {source!r}"

    def _sources_are_apart(self) -> Iterator[str]:
        """Two sources on one place would make every article twice."""
        seen: dict[Path, str] = {}
        for key, source in self.sources.items():
            path = Path(normpath(source.path))
            for other, other_key in seen.items():
                if path == other or path in other.parents or other in path.parents:
                    yield (
                        f"sources.{key}.path: lies in the same place as that of"
                        f" sources.{other_key}; articles would be taken over twice"
                    )
            seen[path] = key
