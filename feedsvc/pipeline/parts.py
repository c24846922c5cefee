"""What the walk is made of: handed over by the composition root, the same for every step."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from feedsvc.config import Settings
from feedsvc.db.engine import Database
from feedsvc.deliveries.sender import Sender
from feedsvc.feeds.configured import ConfiguredFeeds
from feedsvc.feeds.readers.counts import ReaderCounts
from feedsvc.kit.fetch import Fetcher
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
    feeds: ConfiguredFeeds
    digests: DigestRenderer
    sender: Sender
    jobs: Jobs
    clock: Clock
    #: Told of documents as soon as they are stored, so that they are served.
    serve: Callable[[list[ServedDocument]], None]
    #: Told of feeds of which an archive page was replaced, so that the old one is served no more.
    drop_pages: Callable[[Collection[str]], None]
    #: Who fetches feeds, as far as it is counted.
    readers: ReaderCounts
    #: The only way to ask anything of other machines.
    fetcher: Fetcher
    #: Where documents are kept as files, too; None: nowhere.
    export_folder: Path | None = None
    #: Mails are rendered one at a time: more would only take the interpreter from each other, and
    #: from whoever holds the database.
    rendering: asyncio.Lock = field(default_factory=asyncio.Lock)
