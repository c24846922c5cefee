"""Notices: one mail to one address, committed with what caused it."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from feedsvc.model.columns import KEEP_IDS, stored_enum, stored_json


class NoticeKind(StrEnum):
    """Why a notice is sent."""

    #: "Please confirm that you asked for this newsletter."
    CONFIRMATION = "confirmation"


class Notice(SQLModel, table=True):
    """One mail to one address; its delivery row carries it."""

    __tablename__ = "notice"
    __table_args__ = (UniqueConstraint("kind", "subject"), KEEP_IDS)

    id: int | None = Field(default=None, primary_key=True)
    kind: NoticeKind = Field(sa_type=stored_enum(NoticeKind))
    #: What it is about, so that the same cause makes one notice: subscription id and request time.
    subject: str = Field(max_length=200)
    subscriber_id: int = Field(foreign_key="subscriber.id", ondelete="CASCADE", index=True)
    subscription_id: int | None = Field(
        default=None, foreign_key="subscription.id", ondelete="CASCADE"
    )
    language: str = Field(max_length=35)
    payload: dict[str, Any] = Field(default_factory=dict, sa_type=stored_json())
    created_at: datetime
