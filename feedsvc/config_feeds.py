"""Settings of feeds: which articles they hold, how they are written, who is told of changes."""

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from feedsvc.config_values import HOST, Key, Language, Mailbox, OneLine, Section, WebAddress
from feedsvc.model.feed import FeedFormat

#: What stands in braces in the title of a family.
_IN_BRACES = re.compile(r"\{(\w*)\}")
#: Apple's categories of podcasts; each has further ones of its own.
PODCAST_CATEGORIES = frozenset(
    {
        "Arts",
        "Business",
        "Comedy",
        "Education",
        "Fiction",
        "Government",
        "Health & Fitness",
        "History",
        "Kids & Family",
        "Leisure",
        "Music",
        "News",
        "Religion & Spirituality",
        "Science",
        "Society & Culture",
        "Sports",
        "Technology",
        "True Crime",
        "TV & Film",
    }
)


class Selected(Section):
    """Which articles: those of any of these sources, and of any of these sections, and so on."""

    sources: list[str] = Field(default=[])
    sections: list[str] = Field(default=[])
    topics: list[str] = Field(default=[])
    languages: list[Language] = Field(default=[])


class PodcastSettings(Section):
    """What podcast directories want to know."""

    #: Shown as the maker.
    author: OneLine
    #: Apple's names, such as "News" or "News > Daily News".
    categories: list[OneLine] = Field(min_length=1, max_length=3)
    explicit: bool = False
    #: `episodic`: newest first; `serial`: to be heard in order.
    type: Literal["episodic", "serial"] = "episodic"
    #: Whom directories write to.
    owner: Mailbox | None = None
    copyright: OneLine | None = None
    #: Other services may not take the feed over.
    locked: bool = True
    funding_url: WebAddress | None = None
    funding_text: OneLine | None = None
    medium: Literal["podcast", "music", "video", "film", "audiobook", "newsletter", "blog"] = (
        "podcast"
    )

    @model_validator(mode="after")
    def _funding_is_whole(self) -> "PodcastSettings":
        if self.funding_text and not self.funding_url:
            raise ValueError("funding_text: says what funding_url is for, which is missing")
        return self


class FeedSettings(Selected):
    """A selection of articles published as documents for feed readers."""

    title: OneLine
    description: str = ""
    authors: list[OneLine] = Field(default=[])
    #: A condition on articles beside the lists; see docs/filters.md.
    filter: str | None = None
    #: The articles of a newsletter.
    newsletter: Key | None = None
    #: One feed for each value there is, below /feeds/<name>/<value>/.
    each: Literal["section", "topic", "author", "language", "source", "newsletter"] | None = None
    language: Language | None = None
    formats: list[FeedFormat] = Field(
        default=[FeedFormat.RSS, FeedFormat.ATOM, FeedFormat.JSON], min_length=1
    )
    #: Whole articles, or excerpts that link to them.
    content: Literal["full", "summary"] = "full"
    #: How many articles a document holds: the newest so many …
    window: int = Field(default=50, ge=1, le=1000)
    #: … but none older than so many days; without it, of any age …
    max_age_days: float | None = Field(default=None, gt=0, le=36500)
    #: … and beyond `window` those of the last hours, for readers who look rarely.
    keep_hours: float = Field(default=3, ge=0, le=168)
    #: Whether older articles can be had from archive pages.
    archive: bool = True
    #: Whether hubs are told of changes.
    websub: bool = True
    image: WebAddress | None = None
    #: Names it had before; their addresses lead to it for good.
    formerly: list[Key] = Field(default=[])
    podcast: PodcastSettings | None = None

    @field_validator("filter")
    @classmethod
    def _says_something(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("says nothing; leave the key out to admit all articles")
        return value

    @model_validator(mode="after")
    def _families_have_plain_parts(self) -> "FeedSettings":
        for name, text in (("title", self.title), ("description", self.description)):
            unknown = set(_IN_BRACES.findall(text)) - {"name"}
            if self.each is not None and unknown:
                raise ValueError(
                    f"{name}: {{{min(unknown)}}} means nothing; write {{name}} where the value goes"
                )
        if self.each is not None:
            if self.podcast is not None:
                raise ValueError("each: a podcast is one feed; it cannot be one for each value")
            if self.newsletter is not None:
                raise ValueError('newsletter: with "each" the members say which articles they hold')
        if len(set(self.formats)) < len(self.formats):
            raise ValueError("formats: names one of them twice")
        return self


class WebSubSettings(Section):
    """Who tells subscribers of feeds about changes, so that they need not ask."""

    #: Hubs elsewhere, such as https://pubsubhubbub.appspot.com/.
    hubs: list[WebAddress] = Field(default=[], max_length=10)
    #: Be a hub for one's own feeds, at /hub.
    embedded: bool = True
    #: Longest time a subscription lasts unless it is renewed.
    lease_days: float = Field(default=10, ge=0.01, le=60)
    #: Callbacks on one host that may be subscribed to one feed.
    callbacks_per_host: int = Field(default=10, ge=1, le=1000)
    #: Hosts that callbacks may be on although they are not public, such as "reader.lan" or
    #: "127.0.0.1:8080".
    private_hosts: list[OneLine] = Field(default=[])

    @field_validator("private_hosts")
    @classmethod
    def _are_hosts(cls, value: list[str]) -> list[str]:
        for host in value:
            if not HOST.match(host) and host.count(":") < 2:
                raise ValueError(f"not a host: {host!r} (write reader.lan or 127.0.0.1:8080)")
        return value

    @field_validator("hubs")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("names one of them twice")
        for hub in value:
            if urlsplit(hub).fragment:
                raise ValueError(f"a hub's address has no #: {hub!r}")
        return value
