"""What the configuration says about serving feeds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from feedsvc.config import Settings
from feedsvc.feeds.configured import hubs_of


@dataclass(frozen=True, slots=True)
class ServingPolicy:
    """How feeds are served; without settings: no hubs, nothing moved, and the usual limit."""

    #: Without a slash at the end.
    base_url: str = ""
    #: Hubs that documents name (WebSub).
    hubs: tuple[str, ...] = ()
    #: Keys of feeds and families whose documents name none.
    without_hubs: frozenset[str] = frozenset()
    #: Former key of a feed or family -> its key.
    moved: Mapping[str, str] = field(default_factory=dict)
    #: Keys of feeds and families that are no more.
    retired: frozenset[str] = frozenset()
    #: See limits.py; 0 for no limit.
    requests_per_minute: int = 60
    #: Addresses or networks whose X-Forwarded-For is believed.
    trusted_proxies: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> "ServingPolicy":
        """The policy that the settings stand for."""
        return cls(
            base_url=settings.base_url,
            hubs=hubs_of(settings),
            without_hubs=frozenset(key for key, feed in settings.feeds.items() if not feed.websub),
            moved={old: key for key, feed in settings.feeds.items() for old in feed.formerly},
            retired=frozenset(settings.retired_feeds),
            requests_per_minute=settings.server.feed_requests_per_minute,
            trusted_proxies=tuple(settings.server.trusted_proxies),
        )

    def hubs_of(self, feed: str) -> tuple[str, ...]:
        """The hubs that a feed's documents name."""
        silent = feed in self.without_hubs or feed.partition("/")[0] in self.without_hubs
        return () if silent else self.hubs
