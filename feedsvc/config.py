"""The settings: with the other config_*.py the only list of keys, their defaults and their units.

Reading the file, the environment and reporting mistakes is config_file.py's work.
"""

from collections.abc import Iterator
from os.path import normpath
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from feedsvc.config_feeds import FeedSettings, WebSubSettings
from feedsvc.config_newsletters import NewsletterSettings
from feedsvc.config_relays import EmlFolderRelaySettings, RelaySettings
from feedsvc.config_sending import DkimKeySettings, ReturnSettings, SendingSettings
from feedsvc.config_values import (
    HOST,
    LOOPBACK_HOSTS,
    Key,
    Language,
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
    #: The one relay, where there is only one.
    relay: RelaySettings | None = None
    #: Several relays by name, in place of it.
    relays: dict[Key, RelaySettings] = Field(default={})
    #: Keys that mails are signed with, by their selectors.
    dkim: dict[Key, DkimKeySettings] = Field(default={})
    returns: ReturnSettings = ReturnSettings()

    @property
    def every_relay(self) -> dict[str, RelaySettings]:
        """All relays by name; a folder of files when none is configured."""
        if self.relays:
            return dict(self.relays)
        only = self.relay or EmlFolderRelaySettings(type="eml_folder")
        return {only.type: only}

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
            *self._relays_exist(),
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

    def _relays_exist(self) -> Iterator[str]:
        if self.relay is not None and self.relays:
            yield "relay: there are `relays` too; name this one among them"
        for key, newsletter in self.newsletters.items():
            for name in newsletter.relays:
                if name not in self.every_relay:
                    yield f"newsletters.{key}.relays: no relay is named {name!r}"

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
