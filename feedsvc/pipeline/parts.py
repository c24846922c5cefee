"""What the walk is made of: handed over by the composition root, the same for every step."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from feedsvc.config import Settings
from feedsvc.db.engine import Database
from feedsvc.deliveries.sender import Sender
from feedsvc.feeds.documents import FeedSpec
from feedsvc.kit.jobs import Jobs
from feedsvc.messages.digests import DigestRenderer
from feedsvc.model.feed import ServedDocument
from feedsvc.model.ports import SourcePort

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the walk is made of; put together in app.py."""

    settings: Settings
    database: Database
    sources: Mapping[str, SourcePort]
    feeds: tuple[FeedSpec, ...]
    digests: DigestRenderer
    sender: Sender
    jobs: Jobs
    clock: Clock
    #: Told of documents as soon as they are stored, so that they are served.
    serve: Callable[[list[ServedDocument]], None]
