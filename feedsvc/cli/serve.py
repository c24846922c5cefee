"""`feedsvc serve`: everything in one process, until it is asked to stop."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from errno import EADDRINUSE
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from feedsvc.cli.options import ConfigOption, load, run_loop
from feedsvc.cli.output import say, say_error, start_logging
from feedsvc.errors import DatabaseUnavailable, FeedsvcError

if TYPE_CHECKING:
    import uvicorn

    from feedsvc.app import App
    from feedsvc.config_file import LoadedSettings
    from feedsvc.web.feeds.cache import FeedCache

    Work = Callable[[App], Awaitable[None]]

#: Seconds between attempts to reach the database, growing up to the last.
_PATIENCE = (1, 2, 5, 10, 30)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(config: ConfigOption = None) -> None:
    """Serve feeds and pages, watch the sources, and send digests when they are due.

    Example: `feedsvc serve --config config.toml`
    """
    from feedsvc.config_warnings import find_mismatches

    loaded = load(config)
    start_logging()
    for warning in find_mismatches(loaded):
        say_error(warning, prefix=False)
    run_loop(run_server(loaded, _announce(loaded.path)))


def _announce(path: Path) -> "Callable[[App, int], None]":
    def announce(app: "App", port: int) -> None:
        say(f"feedsvc serves {app.settings.base_url} on port {port} (configured by {path})")
        say(f"  feeds       {app.settings.base_url}/feeds")
        say(f"  subscribe   {app.settings.base_url}/subscribe")
        say(f"  mail goes   {', '.join(one.type for one in app.settings.every_relay.values())}")
        say("Stop with Ctrl-C.")

    return announce


async def run_server(
    loaded: "LoadedSettings",
    announce: "Callable[[App, int], None]",
    *,
    before: "Work | None" = None,
    beside: "Work | None" = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Run web server, scheduler, jobs and sender until SIGTERM, SIGINT or `stop`.

    What is on the wire is finished first; the rest stays in its rows.

    Args:
        announce: told once the server listens, with its port.
        before: done before anything runs.
        beside: run while all runs; cancelled at the end.
    """
    from feedsvc.app import App
    from feedsvc.kit.allocator import keep_freed_memory

    keep_freed_memory()
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    attempt = 0
    while not stop.is_set():
        try:
            opened: list[App] = []
            cache = _feed_cache(loaded, opened)
            async with App.open(loaded, serve=cache.take, drop_pages=cache.drop_pages) as app:
                opened.append(app)
                attempt = 0
                if before is not None:
                    await before(app)
                await _run(app, cache, announce, beside, stop)
                return
        except DatabaseUnavailable as error:
            wait = _PATIENCE[min(attempt, len(_PATIENCE) - 1)]
            attempt += 1
            say_error(f"{error}. Trying again in {wait} s.")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wait)


def _feed_cache(loaded: "LoadedSettings", opened: "list[App]") -> "FeedCache":
    """What serves feeds; the application that stands behind it is opened after it."""
    from feedsvc.app import utc_now
    from feedsvc.web.feeds.cache import FeedCache
    from feedsvc.web.feeds.policy import ServingPolicy

    return FeedCache(
        ServingPolicy.of(loaded.settings),
        archives=lambda path: opened[0].pipeline.open_page(path),
        note=lambda *seen: opened[0].readers.note(*seen),
        now=utc_now,
    )


async def _run(
    app: "App",
    cache: "FeedCache",
    announce: "Callable[[App, int], None]",
    beside: "Work | None",
    stop: asyncio.Event,
) -> None:
    from feedsvc.app import GRACE_SECONDS
    from feedsvc.scheduler import Scheduler

    listener = _listen(app.settings.server.host, app.settings.server.port)
    server = _web_server(app, cache)
    async with app.serving():
        await cache.refresh(app.database)
        scheduler = Scheduler(app, sweep=lambda: cache.refresh(app.database))
        jobs = asyncio.create_task(app.jobs.run(), name="jobs")
        web = asyncio.create_task(server.serve(sockets=[listener]), name="web")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        extra = asyncio.create_task(_beside(app, beside), name="beside")
        try:
            await scheduler.start()
            announce(app, listener.getsockname()[1])
            await asyncio.wait({jobs, web, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            app.pipeline.stopping.set()
            await scheduler.stop()
            await app.jobs.stop(GRACE_SECONDS)
            server.should_exit = True
            stopped.cancel()
            extra.cancel()
            results = await asyncio.gather(jobs, web, stopped, extra, return_exceptions=True)
            with contextlib.suppress(DatabaseUnavailable):
                await app.pipeline.count_readers()
        for result in results:
            if isinstance(result, Exception):
                raise result


async def _beside(app: "App", work: "Work | None") -> None:
    if work is not None:
        await work(app)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises FeedsvcError when the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        # QUIRK: asyncio's and socket's own text goes on with what the sentence says already.
        reason = (error.strerror or str(error)).partition(" (while")[0]
        raise FeedsvcError(
            f"cannot listen on {host} port {port}: {reason}. "
            + (
                "Is feedsvc running already? Otherwise set server.port to another one, and"
                " base_url with it."
                if error.errno == EADDRINUSE
                else "Set server.host to an address of this machine, such as 127.0.0.1."
            )
        ) from error


def _web_server(app: "App", cache: "FeedCache") -> "uvicorn.Server":
    import uvicorn

    from feedsvc.web.application import create_application
    from feedsvc.web.feeds.protocol import feed_protocol
    from feedsvc.web.services import WebServices

    loop = asyncio.get_running_loop()
    pokes: set[asyncio.Task[None]] = set()

    def poke() -> None:
        task = loop.create_task(app.pipeline.ask_deliver())
        pokes.add(task)
        task.add_done_callback(pokes.discard)

    class Server(uvicorn.Server):
        """uvicorn, leaving signals to us: mail on the wire is finished before the web stops."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    application = create_application(
        WebServices(
            database=app.database,
            settings=app.settings,
            templates=app.templates,
            keyring=app.keyring,
            feeds=cache.endpoint,
            clock=app.clock,
            poke=poke,
            sending=app.sender,
        )
    )
    return Server(
        uvicorn.Config(
            application,
            host=app.settings.server.host,
            port=app.settings.server.port,
            http=feed_protocol(cache.endpoint),
            # SECURITY: below errors it has a line for each broken request; anybody can send those.
            log_level="error",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            date_header=True,
            timeout_keep_alive=15,
            # A reader that stopped reading must not hold up the end.
            timeout_graceful_shutdown=5,
            proxy_headers=False,
        )
    )
