"""Newsletters and their schedules, as rows that editions and subscriptions point at.

What stands in config.toml decides; these rows follow it by key at every start.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from feedsvc.model.columns import KEEP_IDS, stored_json


class Newsletter(SQLModel, table=True):
    """What people subscribe to."""

    __tablename__ = "newsletter"
    __table_args__ = KEEP_IDS

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True, max_length=100)
    title: str = Field(max_length=200)
    description: str = Field(default="", max_length=1000)
    language: str = Field(max_length=35)
    theme: str = Field(default="plain", max_length=100)
    from_name: str = Field(max_length=200)
    from_address: str = Field(max_length=320)
    #: Who sends this, in words, and where they can be found by post.
    sender: str = Field(max_length=300)
    postal_address: str = Field(max_length=500)
    #: A Selection as a map: sources, sections, topics, language.
    selection: dict[str, Any] = Field(default_factory=dict, sa_type=stored_json())
    max_items: int = 30
    public: bool = True
    #: No longer in the configuration: keeps its subscribers, begins no edition. One that is
    #: under way ends.
    retired: bool = False


class Schedule(SQLModel, table=True):
    """When a newsletter goes out, as one of the rhythms its subscribers choose from."""

    __tablename__ = "schedule"
    __table_args__ = (UniqueConstraint("newsletter_id", "key"), KEEP_IDS)

    id: int | None = Field(default=None, primary_key=True)
    newsletter_id: int = Field(foreign_key="newsletter.id")
    key: str = Field(max_length=100)
    label: str = Field(max_length=200)
    #: Five fields: minute, hour, day of month, month, day of week.
    cron: str = Field(max_length=100)
    #: IANA name of the zone the cron is read in.
    zone: str = Field(max_length=64)
    #: When it began, or was last changed: no period before this comes due.
    since: datetime
    retired: bool = False
