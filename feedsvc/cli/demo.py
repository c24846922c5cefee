"""`feedsvc demo`: a throw-away instance with articles, subscribers and a schedule of its own."""

import asyncio
import shutil
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from feedsvc.cli.output import say, start_logging

if TYPE_CHECKING:
    from feedsvc.app import App

_ARTICLES = Path(__file__).resolve().parent.parent / "demo_articles"
_READERS = (
    ("alice@example.com", "Alice", "en", ("culture", "transport", "rivers")),
    ("li.lei@example.com", "李雷", "zh", ()),
    ("han.meimei@example.com", "韩梅梅", "zh", ("城市", "环境")),
)
_CONSENT = "A made-up reader of the demonstration."
_CONFIG = """\
# A throw-away feedsvc: edit what you like, it is gone with its folder.
base_url = "http://127.0.0.1:{port}"
title = "Riverside 河畔"
language = "en"
time_zone = "Asia/Shanghai"

[server]
port = {port}

[database]
url = "sqlite:///feedsvc.db"

[keys]
file = "keys.json"

[sources.articles]
type = "folder"
path = "articles"
announce_existing = true

[feeds.all]
title = "Riverside: all articles"

[feeds.zh]
title = "河畔：中文文章"
language = "zh-CN"
languages = ["zh-CN"]

[feeds.topics]
title = "Riverside: {{name}}"
each = "topic"

[feeds.listen]
title = "Riverside, to be heard 听河畔"
description = "Articles that are read aloud."
filter = "has enclosure"

[feeds.listen.podcast]
author = "Riverside 河畔"
categories = ["News > Daily News"]
owner = "Riverside 河畔 <news@example.com>"

[newsletters.riverside]
title = "Riverside 河畔"
from = "Riverside 河畔 <news@example.com>"
sender = "Riverside, a made-up newsroom"
postal_address = "1 Harbour Road, Example Town"

[newsletters.riverside.schedules.minutely]
label = "Every minute, for the demonstration"
cron = "* * * * *"

[relay]
type = "eml_folder"
path = "outbox"
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; another one if it is taken.")
    ] = 8000,
    once: Annotated[
        bool, typer.Option("--once", help="Stop when the first digest has gone out.")
    ] = False,
) -> None:
    """Run a throw-away instance: sample articles, three subscribers, mail written to files.

    Example: `feedsvc demo`
    """
    from feedsvc.cli.options import load, run_loop
    from feedsvc.cli.serve import run_server

    start_logging(quiet=True)
    with tempfile.TemporaryDirectory(prefix="feedsvc-demo-") as name:
        folder = Path(name)
        shutil.copytree(_ARTICLES, folder / "articles")
        config = folder / "config.toml"
        config.write_text(_CONFIG.format(port=_free_port(port)), encoding="utf-8")
        stop = asyncio.Event()

        async def beside(app: "App") -> None:
            await _tell(app, folder)
            if once:
                stop.set()
                return
            say("Put a .md file into the articles folder and watch. Stop with Ctrl-C.")
            await _tell_of_more(app)

        say("1. Setting up three subscribers and six articles in English and Chinese …")
        run_loop(
            run_server(load(config), _announce(folder), before=_subscribe, beside=beside, stop=stop)
        )
        if once:
            _show_mail(folder)
    say("The demonstration is over; its folder is gone.")


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)) as listener:
            return int(listener.getsockname()[1])
    return wanted


async def _subscribe(app: "App") -> None:
    """Before the first article, so that all of them are new to these readers."""
    from feedsvc.audience.subscriptions import add_confirmed
    from feedsvc.editions.registry import find_newsletter
    from feedsvc.kit.addresses import parse_address

    async with app.database.write() as session:
        row = await find_newsletter(session, "riverside")
        for address, name, language, topics in _READERS:
            await add_confirmed(
                session,
                newsletter=row.newsletter,
                schedule=row.schedules[0],
                address=parse_address(address),
                name=name,
                language=language,
                zone=None,
                topics=topics,
                now=app.clock(),
                consent_text=_CONSENT,
            )


def _announce(folder: Path) -> "Callable[[App, int], None]":
    def announce(app: "App", _port: int) -> None:
        base_url = app.settings.base_url
        say("2. It runs:")
        say(f"   site        {base_url}/")
        say(f"   subscribe   {base_url}/subscribe")
        say(f"   feeds       {base_url}/feeds  (all of them, and how to follow them)")
        for spec in app.pipeline.feeds.specs:
            say(f"               {base_url}/feeds/{spec.key}/rss.xml  atom.xml  feed.json")
        say(f"   articles    {folder / 'articles'}")
        say(f"   mail        {folder / 'outbox'}  (written to files; nothing leaves this machine)")

    return announce


async def _tell(app: "App", folder: Path) -> None:
    """Follow the walk by its rows until the first digest is out."""
    from feedsvc.articles.publish import newest_seq
    from feedsvc.editions.calendar import Rhythm, next_due_at
    from feedsvc.editions.progress import load_latest_done

    while True:
        async with app.database.read() as session:
            published = await newest_seq(session)
        if published >= len(list(_ARTICLES.glob("*.md"))):
            break
        await asyncio.sleep(0.1)
    say(f"3. {published} articles are published; the feeds above have them.")
    due_at = next_due_at(Rhythm("* * * * *", "UTC"), app.clock())
    if due_at is not None:
        wait = (due_at - app.clock()).total_seconds()
        say(f"4. The digest is due at {due_at:%H:%M:%S} UTC, in {wait:.0f} s …")
    while True:
        async with app.database.read() as session:
            edition = await load_latest_done(session)
        if edition is not None:
            break
        await asyncio.sleep(0.2)
    say(f"5. Edition {edition.id} went out to {edition.counters['deliveries']} subscribers:")
    for mail in sorted((folder / "outbox").glob("*.eml")):
        say(f"   {mail}")


async def _tell_of_more(app: "App") -> None:
    """Follow the editions after the first, for as long as the demonstration runs."""
    from feedsvc.editions.progress import load_latest_done

    told = 0
    while True:
        async with app.database.read() as session:
            edition = await load_latest_done(session)
        if edition is not None and edition.id != told:
            if told:
                count = edition.counters["deliveries"]
                say(f"   Edition {edition.id} went out to {count} subscribers.")
            told = edition.id or 0
        await asyncio.sleep(0.5)


def _show_mail(folder: Path) -> None:
    from email import message_from_bytes, policy

    for mail in sorted((folder / "outbox").glob("*.eml")):
        message = message_from_bytes(mail.read_bytes(), policy=policy.default)
        say(f"   to {message['To']}: {message['Subject']}")
