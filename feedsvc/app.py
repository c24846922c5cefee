"""The composition root: from settings to a walk that can be walked.

The only place that knows every part. It decides nothing about articles, readers or mail.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from feedsvc import __version__
from feedsvc.audience.consent import CONFIRMATION_LASTS
from feedsvc.audience.notices import confirmation_numbers
from feedsvc.config import Settings
from feedsvc.config_file import LoadedSettings
from feedsvc.config_relays import SmtpRelaySettings
from feedsvc.db.engine import Database
from feedsvc.db.locks import SenderLock
from feedsvc.db.migrate import migrate
from feedsvc.deliveries.sender import Prepare, Route, Sender
from feedsvc.deliveries.throttles import Throttles
from feedsvc.editions.control import pause_edition
from feedsvc.editions.registry import count_stranded, sync_newsletters
from feedsvc.errors import ConfigError, DatabaseUnavailable, FetchRefused, SenderBusy
from feedsvc.feeds.configured import find_mistakes, read_feeds
from feedsvc.feeds.readers.counts import ReaderCounts
from feedsvc.kit.fetch import Fetcher
from feedsvc.kit.fetch.guard import Guard
from feedsvc.kit.jobs import Jobs, open_jobs
from feedsvc.kit.key_check import check_keys
from feedsvc.kit.templating import Templates
from feedsvc.kit.tokens import Keyring
from feedsvc.messages.digests import DigestRenderer
from feedsvc.messages.dkim import Signers
from feedsvc.messages.prepare import MessageMaker
from feedsvc.messages.subjects import check_subject_templates
from feedsvc.model.feed import ServedDocument
from feedsvc.model.ports import SourcePort
from feedsvc.model.relay import Relay
from feedsvc.pipeline import Parts, Pipeline
from feedsvc.relays.open import open_relay
from feedsvc.sources.open import open_source

log = structlog.get_logger(__name__)

Clock = Callable[[], datetime]
Serve = Callable[[list[ServedDocument]], None]
DropPages = Callable[[Collection[str]], None]
#: Seconds that running work gets to finish in when the process is asked to end.
GRACE_SECONDS = 20
#: How often it is looked whether somebody else is through.
_LOCK_SECONDS = 0.5
_BUSY = (
    "another feedsvc process is sending on this database; stop it first, or leave the work to it"
)


def utc_now() -> datetime:
    """The present, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class App:
    """All parts of a running feedsvc, on one database."""

    loaded: LoadedSettings
    database: Database
    keyring: Keyring
    templates: Templates
    sources: dict[str, SourcePort]
    jobs: Jobs
    sender: Sender
    lock: SenderLock
    pipeline: Pipeline
    readers: ReaderCounts
    clock: Clock
    #: Whether mail goes out from this process.
    is_sending: bool = False

    @property
    def settings(self) -> Settings:
        """What config.toml says."""
        return self.loaded.settings

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        loaded: LoadedSettings,
        clock: Clock = utc_now,
        serve: Serve = lambda _documents: None,
        drop_pages: DropPages = lambda _feeds: None,
        relay: Relay | None = None,
        check_templates: bool = True,
    ) -> AsyncIterator["App"]:
        """Bring the database up to date and put the parts together; nothing runs yet.

        Args:
            serve: told of feed documents as soon as they are stored.
            drop_pages: told of feeds of which an archive page was replaced.
            relay: in place of the configured one.
            check_templates: compile them all first; only who renders needs to wait for it.

        Raises:
            DatabaseUnavailable: it does not answer.
            KeyFileError: the key file is unreadable, open to others, or lacks a key.
            TemplateInvalid: a template does not compile.
        """
        settings, base = loaded.settings, loaded.base
        folder = settings.templates.folder
        templates = Templates(base / folder if folder else None)
        if check_templates:
            await asyncio.to_thread(templates.check)
        check_themes(loaded, templates)
        check_feeds(loaded)
        check_lines(loaded, templates)
        database = Database(settings.database.url.get_secret_value(), base)
        fetcher = Fetcher(allow=settings.websub.private_hosts, agent=f"feedsvc/{__version__}")
        try:
            await database.check()
            await migrate(database)
            keyring = Keyring.open(base / settings.keys.file)
            async with database.write() as session:
                await check_keys(session, keyring, clock())
                await sync_newsletters(session, settings, clock())
                for schedule, count in (await count_stranded(session)).items():
                    log.warning("subscribers of no schedule", schedule=schedule, count=count)
            yield await cls._assemble(
                loaded, database, keyring, templates, clock, serve, drop_pages, relay, fetcher
            )
        finally:
            await fetcher.close()
            await database.dispose()

    @classmethod
    async def _assemble(
        cls,
        loaded: LoadedSettings,
        database: Database,
        keyring: Keyring,
        templates: Templates,
        clock: Clock,
        serve: Serve,
        drop_pages: DropPages,
        relay: Relay | None,
        fetcher: Fetcher,
    ) -> "App":
        settings, base = loaded.settings, loaded.base
        jobs = open_jobs(database)
        await jobs.prepare()
        sources = {key: open_source(key, source, base) for key, source in settings.sources.items()}
        maker = MessageMaker(
            database,
            keyring,
            templates,
            base_url=settings.base_url,
            site_title=settings.title,
            zone=settings.time_zone,
            notice_numbers=confirmation_numbers,
            link_lasts=CONFIRMATION_LASTS,
            signers=Signers.load(settings.dkim, base),
            returns=settings.returns,
        )
        sender = _open_sender(loaded, database, maker.prepare, clock, relay)
        readers = ReaderCounts(keyring.derive("readers of feeds"))
        pipeline = Pipeline(
            Parts(
                settings=settings,
                database=database,
                sources=sources,
                feeds=read_feeds(settings),
                digests=DigestRenderer(
                    templates, settings.base_url, settings.title, settings.time_zone
                ),
                sender=sender,
                jobs=jobs,
                clock=clock,
                serve=serve,
                drop_pages=drop_pages,
                readers=readers,
                fetcher=fetcher,
                export_folder=base / folder if (folder := settings.export.folder) else None,
            )
        )
        lock = SenderLock(database)
        return cls(
            loaded,
            database,
            keyring,
            templates,
            sources,
            jobs,
            sender,
            lock,
            pipeline,
            readers,
            clock,
        )

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Be a worker for a while: recover what dead ones left, beat, and leave nothing claimed.

        Raises:
            SenderBusy: another process on this machine sends for this database.
        """
        if not self.lock.acquire():
            raise SenderBusy(_BUSY)
        try:
            await self._begin_sending()
            yield
        finally:
            await self._end_sending()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """As `sending`, for a process that stays: it begins to send as soon as nobody else does.

        Raises:
            SenderBusy: another process on this machine serves this database.
        """
        duty = SenderLock(self.database, "serve")
        if not duty.acquire():
            raise SenderBusy(_BUSY)
        waiting: asyncio.Task[None] | None = None
        try:
            if self.lock.acquire():
                await self._begin_sending()
            else:
                log.warning("another process is sending; this one sends when it is through")
                waiting = asyncio.create_task(self._await_lock())
            yield
        finally:
            if waiting is not None:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            try:
                await self._end_sending()
            finally:
                duty.release()

    async def _await_lock(self) -> None:
        """Begin to send as soon as nobody else does; no fault ends the asking."""
        while not self.is_sending:
            try:
                if self.lock.acquire():
                    await self._begin_sending()
            except DatabaseUnavailable as error:
                log.warning("sending cannot begin yet", problem=str(error))
            except Exception:
                log.exception("sending cannot begin")
            await asyncio.sleep(_LOCK_SECONDS)

    async def _begin_sending(self) -> None:
        await self.sender.start()
        self.is_sending = True
        await self.sender.recover()

    async def _end_sending(self) -> None:
        try:
            if self.is_sending:
                await self.sender.close()
        finally:
            self.is_sending = False
            self.lock.release()

    async def sweep(self) -> None:
        """The poke of every second: rows that wait, and what dead workers left."""
        if self.is_sending:
            await self.sender.recover()
        await self.pipeline.sweep()


def _open_sender(
    loaded: LoadedSettings,
    database: Database,
    prepare: Prepare,
    clock: Clock,
    relay: Relay | None,
) -> Sender:
    """A sender with the relays that are configured, or this one in their place."""
    settings = loaded.settings
    routes = [Route(relay)] if relay is not None else list(_open_routes(loaded))
    return Sender(
        database,
        routes,
        prepare,
        settings.sending,
        clock,
        socket.gethostname(),
        throttles=Throttles({} if relay else settings.every_relay, settings.sending),
        carriers={} if relay else {key: one.relays for key, one in settings.newsletters.items()},
        pause_edition=pause_edition,
    )


def _open_routes(loaded: LoadedSettings) -> Iterator[Route]:
    for key, one in loaded.settings.every_relay.items():
        relay = open_relay(one, loaded.base, key)
        if isinstance(one, SmtpRelaySettings):
            first, idle = one.first_connections, one.idle_seconds
            yield Route(relay, one.weight, one.rank, first, idle)
        else:
            yield Route(relay, one.weight, one.rank)


def check_feeds(loaded: LoadedSettings) -> None:
    """Make sure that filters and hosts can be understood. Raises ConfigError with file and line."""
    mistakes = find_mistakes(loaded.settings)
    for host in loaded.settings.websub.private_hosts:
        try:
            Guard([host])
        except FetchRefused as error:
            mistakes["websub.private_hosts"] = f"{host!r}: {error}"
    problems = [
        f"{loaded.path}:{loaded.line_of(name)}: {name}: {problem}"
        for name, problem in mistakes.items()
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def check_lines(loaded: LoadedSettings, templates: Templates) -> None:
    """Make sure that subjects and preheaders can be rendered. Raises ConfigError with its place."""
    problems = [
        f"{loaded.path}:{loaded.line_of(name)}: {name}: {problem}"
        for name, problem in check_subject_templates(templates, loaded.settings).items()
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def check_themes(loaded: LoadedSettings, templates: Templates) -> None:
    """Make sure that every newsletter's theme exists. Raises ConfigError with file and line."""
    problems = []
    for key, newsletter in loaded.settings.newsletters.items():
        if not templates.has_theme(newsletter.theme):
            name = f"newsletters.{key}.theme"
            place = f"{loaded.path}:{loaded.line_of(name)}"
            problems.append(f"{place}: {name}: no folder mail/{newsletter.theme} of templates")
    if problems:
        raise ConfigError("\n".join(problems))
