"""Settings of newsletters: what they hold, how they look, when they go out, who looks at them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from feedsvc.config_feeds import Selected
from feedsvc.config_values import (
    Cron,
    Key,
    Language,
    Mailbox,
    OneLine,
    QuietDay,
    Section,
    check_zone,
)

#: What stands for the zone of each subscriber.
SUBSCRIBERS_ZONE = "subscriber"


def _check_schedule_zone(value: str) -> str:
    if value == SUBSCRIBERS_ZONE:
        return value
    try:
        return check_zone(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "subscriber" for each subscriber\'s own') from error


ScheduleZone = Annotated[str, AfterValidator(_check_schedule_zone)]


class ScheduleSettings(Section):
    """A rhythm of a newsletter."""

    #: What subscribers choose by; `description` says more.
    label: OneLine = Field(max_length=200)
    description: str = Field(default="", max_length=500)
    #: Minute, hour, day of month, month, weekday; "L" is the last day of a month.
    cron: Cron | None = Field(default=None, max_length=100)
    #: In place of `cron`: an edition for each article, once nothing has changed for this long …
    settle_minutes: float | None = Field(default=None, gt=0, le=24 * 60)
    #: … at most so long after the first. By default six times as long.
    settle_max_minutes: float | None = Field(default=None, gt=0, le=7 * 24 * 60)
    #: IANA name, or "subscriber" for each subscriber's own; the service's by default.
    time_zone: ScheduleZone | None = None
    #: What becomes of a period that was missed, by a machine that was off: "late", one edition at
    #: once with all that has come since; "merge", its articles come with the next regular edition;
    #: "drop", its articles are not mailed any more.
    catch_up: Literal["late", "merge", "drop"] = "late"
    #: How late an edition may be before its period counts as missed.
    grace_minutes: float = Field(default=60, ge=1, le=31 * 24 * 60)
    #: Mails leave at random within so long, rather than all at once.
    spread_minutes: float = Field(default=0, ge=0, le=24 * 60)
    #: Days on which nothing comes due: "sat", "2026-10-01", "2026-10-01..2026-10-07".
    quiet_days: list[QuietDay] = Field(default=[], max_length=400)
    #: As those of the newsletter, for this rhythm.
    max_items: int | None = Field(default=None, ge=1, le=200)
    min_items: int | None = Field(default=None, ge=1, le=200)

    @model_validator(mode="after")
    def _comes_due_one_way(self) -> "ScheduleSettings":
        if (self.cron is None) == (self.settle_minutes is None):
            raise ValueError("write either cron or settle_minutes (an edition for each article)")
        if self.settle_max_minutes is not None:
            if self.settle_minutes is None:
                raise ValueError("settle_max_minutes: goes with settle_minutes")
            if self.settle_max_minutes < self.settle_minutes:
                raise ValueError("settle_max_minutes: is shorter than settle_minutes")
        if self.settle_minutes is not None and self.time_zone == SUBSCRIBERS_ZONE:
            raise ValueError(
                'time_zone: an edition for each article has no hour, so no "subscriber"'
            )
        return self


class NewsletterSettings(Selected):
    """What people subscribe to."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, str_strip_whitespace=True, populate_by_name=True
    )

    title: OneLine = Field(max_length=200)
    description: str = Field(default="", max_length=1000)
    language: Language | None = None
    theme: Key = "plain"
    #: Shown as the sender, such as `Morning News <news@example.com>`.
    from_: Mailbox = Field(alias="from")
    #: Who sends this, in words; stands in every mail.
    sender: OneLine = Field(max_length=300)
    #: Where the sender can be found by post; stands in every mail.
    postal_address: OneLine = Field(max_length=500)
    #: A condition on articles beside the lists; see docs/filters.md.
    filter: str | None = None
    #: Articles in one mail; the rest are counted and linked to.
    max_items: int = Field(default=30, ge=1, le=200)
    #: Fewer make no mail for a reader: they wait for more, …
    min_items: int = Field(default=1, ge=1, le=200)
    #: … but not longer than so many editions.
    carry_max: int = Field(default=3, ge=1, le=100)
    #: How articles follow each other: by date, or by the `weight` in their front matter.
    order: Literal["newest", "oldest", "weight"] = "newest"
    #: Put articles of one section together, under its name.
    by_section: bool = False
    #: Sections that come first, in this order.
    section_order: list[OneLine] = Field(default=[], max_length=100)
    #: Show the first article larger than the others.
    lead: bool = False
    #: Templates of one line (Jinja2) for the subject and for what an inbox shows behind it.
    subject: OneLine | None = None
    preheader: OneLine | None = None
    #: "draft": an edition is made ahead of its time, and waits for `feedsvc editions approve`.
    review: Literal["automatic", "draft"] = "automatic"
    #: How long ahead.
    review_minutes: int = Field(default=120, ge=5, le=7 * 24 * 60)
    #: What becomes of a draft that nobody approved in time: it goes as it is ("send"), or its
    #: articles come with the next edition ("skip").
    unapproved: Literal["send", "skip"] = "send"
    #: What becomes of mails not sent yet when an article in them is withdrawn: they go "without"
    #: it, or the edition is stopped ("stop").
    on_withdrawal: Literal["without", "stop"] = "without"
    #: Articles in the mail that greets a new subscriber; 0: there is no such mail.
    welcome_items: int = Field(default=0, ge=0, le=50)
    #: Whether its editions can be read on the site, and followed as a feed.
    archive: bool = True
    #: Anyone may ask for it on the site.
    public: bool = True
    #: Names of the relays that may carry it; all of them by default.
    relays: list[str] = Field(default=[])
    schedules: dict[Key, ScheduleSettings] = Field(min_length=1)

    @field_validator("filter")
    @classmethod
    def _says_something(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("says nothing; leave the key out to admit all articles")
        return value

    @model_validator(mode="after")
    def _limits_fit(self) -> "NewsletterSettings":
        for name, schedule in {"": None, **self.schedules}.items():
            least = (schedule and schedule.min_items) or self.min_items
            most = (schedule and schedule.max_items) or self.max_items
            if least > most:
                place = f"schedules.{name}." if name else ""
                raise ValueError(f"{place}min_items: {least} are more than max_items, {most}")
        return self
