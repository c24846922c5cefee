"""Settings of sending: retries, limits, signatures, and where returned mail goes."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from feedsvc.config_values import (
    DomainName,
    ProviderName,
    RateLimit,
    Section,
    check_path,
    split_mailbox,
)

#: Stands for the part of a return path that tells which mail came back.
TOKEN = "{token}"
_RETURN_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,40}")


class BreakerSettings(Section):
    """When so many mails are refused that going on would do harm."""

    #: Mails of an edition, or to a provider, before anything is judged.
    at_least: int = Field(default=50, ge=1, le=1_000_000)
    #: Share of an edition's mails refused because of their addresses: the edition is paused.
    refused_share: float = Field(default=0.15, gt=0, le=1)
    #: Share of mails refused because of us: their provider is left alone, and the edition is
    #: paused when it holds for all of it.
    blocked_share: float = Field(default=0.1, gt=0, le=1)
    #: How long a provider that refuses us is left alone.
    pause_minutes: float = Field(default=60, gt=0, le=10080)


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
    #: Mails at most to one provider of mailboxes, by its name (`qq`, `netease`, `gmail`, …, or a
    #: domain); `default` stands for each of the others.
    provider_limits: dict[ProviderName, list[RateLimit]] = Field(default={})
    #: Mails at most from one domain, as it stands in From.
    domain_limits: dict[DomainName, list[RateLimit]] = Field(default={})
    #: Ask DNS whose mail servers a domain has, so that its provider is known.
    look_up_providers: bool = True
    breaker: BreakerSettings = BreakerSettings()


class DkimKeySettings(Section):
    """A key that mails are signed with (RFC 6376); its name is the selector."""

    #: PEM file of an RSA (2048 bits) or Ed25519 key, mode 0600.
    file: Annotated[Path, AfterValidator(check_path)]
    #: The domain whose DNS has the record; signs mail from it and from domains below it.
    domain: DomainName
    #: Sign with it; off while its record is new or old, and mails signed with it may still be
    #: under way.
    active: bool = True


def _check_return_address(value: str) -> str:
    local, _, domain = value.partition("@")
    written = value.replace(TOKEN, "x")
    has_brace = "{" in written or "}" in written or TOKEN in domain
    is_local = _RETURN_LOCAL.fullmatch(local.replace(TOKEN, "x"))
    if has_brace or local.count(TOKEN) > 1 or not is_local or split_mailbox(written)[1] != written:
        raise ValueError('needs an address, such as "bounces+{token}@example.com"')
    return value


class ReturnSettings(Section):
    """Where mail that could not be delivered is sent back to."""

    #: The envelope's sender. With `{token}` each mail has its own, so that what comes back tells
    #: which mail it was. By default the newsletter's own address, with +token before the @.
    address: Annotated[str, AfterValidator(_check_return_address)] | None = None
