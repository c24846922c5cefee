"""Limits on sending and what is left of them; shared by all nodes, and kept over a restart."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Column, Text
from sqlmodel import Field, SQLModel

from feedsvc.model.columns import stored_enum


class ThrottleKind(StrEnum):
    """What a limit is on."""

    #: A relay of the configuration.
    RELAY = "relay"
    #: A domain that mail is from.
    DOMAIN = "domain"
    #: A provider of mailboxes.
    PROVIDER = "provider"


class Throttle(SQLModel, table=True):
    """One limit: a bucket of tokens, or (`period_seconds` 0) how much its other side bears now."""

    __tablename__ = "throttle"

    kind: ThrottleKind = Field(primary_key=True, sa_type=stored_enum(ThrottleKind))
    name: str = Field(primary_key=True, max_length=253)
    #: Length of the window the limit is for.
    period_seconds: int = Field(primary_key=True)
    #: Tokens left at `refilled_at`.
    tokens: float = 0.0
    refilled_at: datetime
    #: Mails a second that are borne at present, where replies have taught us; None: as configured.
    learnt_per_second: float | None = None
    #: Since when nothing has been refused as too much.
    clean_since: datetime | None = None
    #: Left alone until then, how often in a row, and why.
    rests_until: datetime | None = None
    rests: int = 0
    reason: str | None = Field(default=None, sa_column=Column(Text))


class MailDomain(SQLModel, table=True):
    """Whose mail servers a domain has: providers are throttled, not each domain of theirs."""

    __tablename__ = "mail_domain"

    domain: str = Field(primary_key=True, max_length=253)
    provider: str = Field(max_length=253)
    looked_up_at: datetime
