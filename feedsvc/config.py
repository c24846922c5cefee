"""The settings: with config_feeds.py the only list of keys, their defaults and their units.

Reading the file, the environment and reporting mistakes is config_file.py's work.
"""

from collections.abc import Iterator
from os.path import normpath
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from feedsvc.config_feeds import FeedSettings, Selected, WebSubSettings
from feedsvc.config_values import (
    HOST,
    LOOPBACK_HOSTS,
    Cron,
    Key,
    Language,
    Mailbox,
    Network,
    OneLine,
    Section,
    Zone,
    check_path,
)


class ServerSettings(Section):
    """Where the web server listens."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    #: Addresses or networks of web servers in front, whose X-Forwarded-For is believed.
    trusted_proxies: list[Network] = Field(default=["127.0.0.0/8", "::1/128"])
    #: Requests for one feed document that one client may make; 0 for no limit.
    feed_requests_per_minute: int = Field(default=60, ge=0, le=100000)
    #: Addresses or networks that may read /metrics.
    metrics_from: list[Network] = Field(default=["127.0.0.0/8", "::1/128"])


class DatabaseSettings(Section):
    """Where rows are kept."""

    #: `sqlite:///path` (relative to the configuration file) or `postgresql://user@host/name`.
    url: SecretStr = SecretStr("sqlite:///data/feedsvc.db")

    @field_validator("url")
    @classmethod
    def _known_kind(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("sqlite:///", "postgresql://")):
            raise ValueError("starts with sqlite:/// or postgresql://")
        return value


class KeySettings(Section):
    """Where the signing keys are kept."""

    file: Path = Path("data/keys.json")


class TemplateSettings(Section):
    """Where the operator's own templates are; what is missing there is taken from ours."""

    folder: Path | None = None


class SourceSettings(Section):
    """A place articles come from."""

    #: `folder` of Markdown, HTML and text files; `page` for saved news pages (a file or a folder).
    type: Literal["folder", "page"]
    path: Annotated[Path, AfterValidator(check_path)]
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


class ScheduleSettings(Section):
    """A rhythm of a newsletter."""

    label: OneLine
    cron: Cron
    time_zone: Zone | None = None


class NewsletterSettings(Selected):
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


class EmlFolderRelaySettings(Section):
    """Writes every mail as a file; nothing leaves the machine."""

    type: Literal["eml_folder"]
    path: Path = Path("outbox")
    connections: int = Field(default=4, ge=1, le=100)


class SmtpRelaySettings(Section):
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


class SendingSettings(Section):
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


class ExportSettings(Section):
    """Feed documents as files, for a web server or a content delivery network."""

    #: Kept equal to what is served; None: no files are written.
    folder: Annotated[Path, AfterValidator(check_path)] | None = None


class Settings(Section):
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
    sources: dict[Key, SourceSettings] = Field(default={})
    feeds: dict[Key, FeedSettings] = Field(default={})
    #: Names of feeds that are no more: readers are told to stop asking.
    retired_feeds: list[Key] = Field(default=[])
    websub: WebSubSettings = WebSubSettings()
    export: ExportSettings = ExportSettings()
    newsletters: dict[Key, NewsletterSettings] = Field(default={})
    relay: RelaySettings = EmlFolderRelaySettings(type="eml_folder")

    @field_validator("base_url")
    @classmethod
    def _base_url_is_absolute(cls, value: str) -> str:
        parts = urlsplit(value)
        try:
            is_address = parts.scheme in ("http", "https") and bool(HOST.match(parts.netloc))
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
            *self._feed_names_are_apart(),
            *self._export_is_apart(),
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

    def _feed_names_are_apart(self) -> Iterator[str]:
        """A name leads to one feed, or is gone."""
        owners = dict.fromkeys(self.feeds, "a feed")
        for key, feed in self.feeds.items():
            if feed.newsletter is not None and feed.newsletter not in self.newsletters:
                yield f"feeds.{key}.newsletter: no newsletter is named {feed.newsletter!r}"
            for old in feed.formerly:
                if old in owners:
                    yield f"feeds.{key}.formerly: {old!r} is the name of {owners[old]}"
                owners[old] = f"what feeds.{key} was"
        for position, old in enumerate(self.retired_feeds):
            if old in owners:
                yield f"retired_feeds.{position}: {old!r} is the name of {owners[old]}"

    def _export_is_apart(self) -> Iterator[str]:
        """Sources are only read, and files of ours are no articles."""
        if self.export.folder is None:
            return
        folder = Path(normpath(self.export.folder))
        for key, source in self.sources.items():
            path = Path(normpath(source.path))
            if path == folder or path in folder.parents or folder in path.parents:
                yield f"export.folder: lies in the same place as sources.{key}.path"

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
