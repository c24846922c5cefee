"""Settings of relays: what mail is handed to, how fast, and which goes first."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, model_validator

from feedsvc.config_values import LOOPBACK_HOSTS, OneLine, RateLimit, Section

#: What a profile says about keys that are not given.
#: "smarthost": a provider's or company's server, which has limits of its own and shows them by its
#: replies; "local": a mail server on this machine or beside it, which takes what it is given.
PROFILES: dict[str, dict[str, Any]] = {
    "smarthost": {
        "port": 587,
        "tls": "required",
        "connections": 10,
        "first_connections": 2,
        "messages_per_connection": 100,
        "connection_seconds": 300,
        "idle_seconds": 30,
    },
    "local": {
        "port": 25,
        "tls": "none",
        "connections": 20,
        "first_connections": 20,
        "messages_per_connection": 1000,
        "connection_seconds": 3600,
        "idle_seconds": 60,
    },
}


class WarmUpSettings(Section):
    """A new address or relay sends little at first, and more every day."""

    #: Its first day, in UTC.
    since: date
    #: Mails on the first day.
    first_day: int = Field(default=200, ge=1, le=10_000_000)
    #: Times the day before; it ends when `limits` allow less, or after `days`.
    growth: float = Field(default=1.5, gt=1, le=10)
    days: int = Field(default=30, ge=1, le=365)


class _EveryRelay(Section):
    #: Share of the mail, among relays of the same rank.
    weight: int = Field(default=1, ge=1, le=1000)
    #: Those of the lowest rank send; the next are for when none of these can be reached.
    rank: int = Field(default=1, ge=1, le=9)
    #: Mails at most, such as "10/second", "500/hour", "20000/day"; all of them hold.
    limits: list[RateLimit] = Field(default=[])
    warm_up: WarmUpSettings | None = None


class EmlFolderRelaySettings(_EveryRelay):
    """Writes every mail as a file; nothing leaves the machine."""

    type: Literal["eml_folder"]
    path: Path = Path("outbox")
    connections: int = Field(default=4, ge=1, le=100)


class SmtpRelaySettings(_EveryRelay):
    """Hands mail to an SMTP server."""

    type: Literal["smtp"]
    host: OneLine
    #: What is meant by keys that are not given: see PROFILES.
    profile: Literal["smarthost", "local"] = "smarthost"
    port: int = Field(default=587, ge=1, le=65535)
    #: `required` (STARTTLS, never in clear), `implicit` (TLS from the first byte), `none`.
    tls: Literal["required", "implicit", "none"] = "required"
    #: Check the server's certificate; off only for a relay in your own cellar.
    verify_certificate: bool = True
    username: str | None = None
    password: SecretStr | None = None
    #: Connections at once; begun with fewer, halved when it says "too much".
    connections: int = Field(default=10, ge=1, le=200)
    first_connections: int = Field(default=2, ge=1, le=200)
    messages_per_connection: int = Field(default=100, ge=1, le=100000)
    #: How long a connection is used, and how long it is kept without work.
    connection_seconds: float = Field(default=300, ge=1, le=86400)
    idle_seconds: float = Field(default=30, ge=0, le=3600)
    #: Name given in EHLO; the host's own by default.
    helo: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_from_profile(cls, data: Any) -> Any:
        if isinstance(data, dict) and (profile := PROFILES.get(str(data.get("profile")))):
            return {**profile, **data}
        return data

    @model_validator(mode="after")
    def _no_password_in_clear(self) -> "SmtpRelaySettings":
        if self.password and self.tls == "none" and self.host not in LOOPBACK_HOSTS:
            raise ValueError('tls: a password needs tls = "required" or "implicit"')
        if (self.username is None) != (self.password is None):
            given = "username" if self.password is None else "password"
            raise ValueError(f"{given}: username and password come together")
        return self


RelaySettings = Annotated[EmlFolderRelaySettings | SmtpRelaySettings, Field(discriminator="type")]
