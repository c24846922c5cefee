"""The feeds that the configuration asks for. Reads settings, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

from feedsvc.config import Settings
from feedsvc.config_feeds import FeedSettings, PodcastSettings, Selected
from feedsvc.config_newsletters import NewsletterSettings
from feedsvc.config_values import split_mailbox
from feedsvc.errors import FilterInvalid
from feedsvc.feeds.families import Family, Named
from feedsvc.feeds.spec import FeedSpec, Window
from feedsvc.feeds.writing.entries import Podcast
from feedsvc.kit.filters import Filter, from_selection, parse_filter
from feedsvc.model.ports import Selection

#: Path of the embedded hub below the base address.
HUB_PATH = "hub"


@dataclass(frozen=True, slots=True)
class ConfiguredFeeds:
    """What is to be published, and what becomes of the addresses of what was."""

    specs: tuple[FeedSpec, ...] = ()
    families: tuple[Family, ...] = ()
    #: What families of newsletters are made of, by key.
    newsletters: Mapping[str, Named] | None = None
    #: Old key -> key it leads to.
    moved: Mapping[str, str] | None = None
    retired: frozenset[str] = frozenset()


def read_feeds(settings: Settings) -> ConfiguredFeeds:
    """The feeds of a configuration.

    Raises:
        FilterInvalid: the first filter that cannot be understood; `find_mistakes` names all.
    """
    specs, families = [], []
    for key, feed in settings.feeds.items():
        spec = _spec(settings, key, feed)
        if feed.each is None:
            specs.append(spec)
        else:
            families.append(Family(key, feed.each, spec))
    return ConfiguredFeeds(
        specs=tuple(specs),
        families=tuple(families),
        newsletters={
            key: _named(settings, one) for key, one in settings.newsletters.items() if one.public
        },
        moved={old: key for key, feed in settings.feeds.items() for old in feed.formerly},
        retired=frozenset(settings.retired_feeds),
    )


def find_mistakes(settings: Settings) -> dict[str, str]:
    """What is wrong with the filters: the key of each in the configuration, and why."""
    mistakes = {}
    for key, feed in settings.feeds.items():
        try:
            _parse(settings, feed)
        except FilterInvalid as error:
            mistakes[f"feeds.{key}.filter"] = str(error)
    for key, newsletter in settings.newsletters.items():
        try:
            _parse(settings, newsletter)
        except FilterInvalid as error:
            mistakes[f"newsletters.{key}.filter"] = str(error)
    return mistakes


def hubs_of(settings: Settings) -> tuple[str, ...]:
    """Addresses of the hubs that are told of changes, our own first."""
    own = (f"{settings.base_url}/{HUB_PATH}",) if settings.websub.embedded else ()
    return (*own, *settings.websub.hubs)


def _spec(settings: Settings, key: str, feed: FeedSettings) -> FeedSpec:
    return FeedSpec(
        key=key,
        title=feed.title,
        description=feed.description or feed.title,
        language=feed.language or settings.language,
        formats=tuple(feed.formats),
        content=feed.content,
        window=Window(
            count=feed.window,
            max_age=timedelta(days=feed.max_age_days) if feed.max_age_days else None,
            keep=timedelta(hours=feed.keep_hours),
        ),
        filter=_filter(settings, feed),
        base_url=settings.base_url,
        site_title=settings.title,
        archive=feed.archive,
        hubs=hubs_of(settings) if feed.websub else (),
        image=feed.image,
        podcast=_podcast(feed.podcast) if feed.podcast else None,
        formerly=tuple(feed.formerly),
    )


def _filter(settings: Settings, feed: FeedSettings) -> Filter:
    admitted = _selected(feed, feed.authors) & _parse(settings, feed)
    if feed.newsletter is not None:
        admitted &= _held(settings, settings.newsletters[feed.newsletter])
    return admitted


def _held(settings: Settings, newsletter: NewsletterSettings) -> Filter:
    """What a newsletter holds."""
    return _selected(newsletter) & _parse(settings, newsletter)


def _parse(settings: Settings, one: FeedSettings | NewsletterSettings) -> Filter:
    if one.filter is None:
        return Filter()
    return parse_filter(one.filter, ZoneInfo(settings.time_zone))


def _selected(one: Selected, authors: list[str] | None = None) -> Filter:
    selection = Selection(
        sources=frozenset(one.sources),
        sections=frozenset(one.sections),
        topics=frozenset(one.topics),
        languages=frozenset(one.languages),
    )
    return from_selection(selection, authors or ())


def _named(settings: Settings, newsletter: NewsletterSettings) -> Named:
    return Named(
        title=newsletter.title,
        description=newsletter.description,
        language=newsletter.language or settings.language,
        filter=_held(settings, newsletter),
    )


def _podcast(podcast: PodcastSettings) -> Podcast:
    name, address = split_mailbox(podcast.owner) if podcast.owner else (None, None)
    return Podcast(
        author=podcast.author,
        categories=tuple(
            tuple(part.strip() for part in one.split(">")) for one in podcast.categories
        ),
        explicit=podcast.explicit,
        type=podcast.type,
        owner_name=name or None,
        owner_email=address or None,
        copyright=podcast.copyright,
        locked=podcast.locked,
        funding_url=podcast.funding_url,
        funding_text=podcast.funding_text,
        medium=podcast.medium,
    )
