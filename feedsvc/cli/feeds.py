"""`feedsvc feeds …`: which feeds there are, how they are, and who reads them."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedsvc.cli.options import ConfigOption, JsonOption, run_with_app
from feedsvc.cli.output import console, print_json, say

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.config import Settings
    from feedsvc.feeds.details import DocumentRow
    from feedsvc.feeds.readers.counts import ReaderTotals
    from feedsvc.feeds.readers.store import ReaderDay

#: Columns of a table that no terminal shows.
_WIDE = 1000
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class _Listed:
    """A line of the list."""

    key: str
    title: str
    entries: int
    changed_at: datetime | None
    #: For how many people hosted readers ask, and how many other clients there are.
    hosted: int
    individuals: int
    #: Subscriptions at the embedded hub.
    subscribers: int
    problem: str | None


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Show feeds and who reads them.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("show")(show)
    app.add_typer(group, name="feeds")


def list_(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """List feeds with their entries, readers of the last seven days, and problems.

    Example: `feedsvc feeds list`
    """

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.feeds.catalogue import load_catalogue
        from feedsvc.feeds.configured import read_feeds
        from feedsvc.feeds.details import count_hub_subscriptions
        from feedsvc.feeds.readers.counts import ROLLING_DAYS, ReaderTotals
        from feedsvc.feeds.readers.store import load_counts

        configured = read_feeds(app.settings)
        async with app.database.read() as session:
            rows = await load_catalogue(session, configured)
            readers = await load_counts(session, app.clock())
            hub = await count_hub_subscriptions(session)
        nobody = ReaderTotals()
        return {
            "days": ROLLING_DAYS,
            "feeds": [
                _Listed(
                    key=row.spec.key,
                    title=row.spec.title,
                    entries=row.entries,
                    changed_at=row.changed_at,
                    hosted=readers.get(row.spec.key, nobody).hosted,
                    individuals=readers.get(row.spec.key, nobody).individuals,
                    subscribers=hub.get(row.spec.key, 0),
                    problem=row.problem,
                )
                for row in rows
            ],
            "moved": dict(configured.moved or {}),
            "retired": sorted(configured.retired),
        }

    found = run_with_app(config, work)
    if as_json:
        print_json({**found, "feeds": [asdict(one) for one in found["feeds"]]})
        return
    _say_list(found)


def _say_list(found: dict[str, Any]) -> None:
    feeds: list[_Listed] = found["feeds"]
    if feeds:
        _print_table(feeds)
        say(
            f"Readers of the last {found['days']} days (UTC): as many as hosted readers say they"
            " ask for, and other clients."
        )
    else:
        say("There is no feed yet. Add [feeds.all] with a title to the configuration.")
    for one in feeds:
        if one.problem:
            say(f"{one.key}: {one.problem}")
    for old, new in found["moved"].items():
        say(f"{old} moved to {new}")
    for key in found["retired"]:
        say(f"{key} is retired")


def _print_table(feeds: list[_Listed]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("feed", "title"):
        table.add_column(heading, overflow="fold")
    for heading in ("entries", "readers", "hosted", "others", "told by hub"):
        table.add_column(heading, justify="right")
    table.add_column("changed")
    for one in feeds:
        table.add_row(
            escape(one.key),
            escape(one.title),
            *(str(one.entries), str(one.hosted + one.individuals)),
            *(str(one.hosted), str(one.individuals), str(one.subscribers)),
            _when(one.changed_at) + (" (problem)" if one.problem else ""),
        )
    if console.is_terminal:
        console.print(table)
    else:  # one line a feed, whatever its length: scripts read it
        Console(width=_WIDE, highlight=False).print(table)


@dataclass(frozen=True, slots=True)
class _Shown:
    """All that is known of a feed."""

    key: str
    title: str
    page: str
    entries: int
    archive_pages: int
    problem: str | None
    formerly: tuple[str, ...]
    documents: "list[DocumentRow]"
    readers: "ReaderTotals"
    days: "list[ReaderDay]"


def show(
    key: Annotated[str, typer.Argument(help="Key of the feed, such as all or topics/科技.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show a feed: its documents with their sizes, and who reads it, by reader and day.

    Example: `feedsvc feeds show all`
    """

    async def work(app: "App") -> _Shown:
        from feedsvc.errors import NotFound
        from feedsvc.feeds.catalogue import find_feed
        from feedsvc.feeds.configured import read_feeds
        from feedsvc.feeds.details import load_details
        from feedsvc.feeds.readers.counts import ReaderTotals
        from feedsvc.feeds.readers.store import load_counts, load_reader_days

        async with app.database.read() as session:
            spec = await find_feed(session, read_feeds(app.settings), key)
            if spec is None:
                raise NotFound(_describe_missing(app.settings, key))
            details = await load_details(session, spec)
            readers = await load_counts(session, app.clock(), [key])
            days = await load_reader_days(session, key, app.clock())
        return _Shown(
            key=key,
            title=spec.title,
            page=details.page_url,
            entries=details.entries,
            archive_pages=details.archive_pages,
            problem=details.problem,
            formerly=spec.formerly,
            documents=details.documents,
            readers=readers.get(key, ReaderTotals()),
            days=days,
        )

    shown = run_with_app(config, work)
    if as_json:
        print_json(asdict(shown))
        return
    _say_shown(shown)


def _say_shown(shown: _Shown) -> None:
    say(shown.title)
    say(f"  page      {shown.page}")
    say(f"  entries   {shown.entries}, and {shown.archive_pages} archive pages")
    if shown.formerly:
        say(f"  formerly  {', '.join(shown.formerly)}")
    if shown.problem:
        say(f"  problem   {shown.problem}")
    if not shown.documents:
        say("  documents none yet: they are made by `feedsvc publish` and while feedsvc serves")
    for one in shown.documents:
        say(f"  document  {one.url}")
        sizes = ", ".join(
            f"{coding} {size:,}" for coding, size in one.sizes.items() if size is not None
        )
        say(f"            version {one.version}, changed {_when(one.last_modified)}")
        say(
            f"            bytes: {sizes}" + ("" if one.dense else " (not yet as small as they get)")
        )
        if one.subscribers:
            say(f"            {one.subscribers} told by the hub")
    _say_readers(shown)


def _say_readers(shown: _Shown) -> None:
    readers = shown.readers
    said = f"{readers.hosted} by hosted readers, {readers.individuals} other clients"
    say(f"  readers   {readers.hosted + readers.individuals} in the last 7 days (UTC): {said}")
    for name, number in readers.by_agent.items():
        say(f"            {number:>8,}  {name}")
    counts = [day.hosted + day.individuals for day in shown.days]
    if any(counts):
        say(f"  each day  {draw_line(counts)}  at most {max(counts):,}")
        say(f"            {shown.days[0].day} to {shown.days[-1].day}")


def draw_line(counts: list[int]) -> str:
    """Numbers as bars of eight heights, the greatest full; a blank where there is none."""
    most = max(counts, default=0) or 1
    highest = len(_BARS) - 1
    return "".join(_BARS[round(count / most * highest)] if count else " " for count in counts)


def _when(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "never"


def _describe_missing(settings: "Settings", key: str) -> str:
    """What is known of a name that no feed has."""
    if key in settings.feeds:
        return f"{key!r} is a family of feeds; see its members by: feedsvc feeds list"
    for name, feed in settings.feeds.items():
        if key in feed.formerly:
            return f"{key!r} is called {name!r} now, and leads there"
    if key in settings.retired_feeds:
        return f"{key!r} is retired: who asks for it is told to stop"
    return f"no feed is called {key!r}; see: feedsvc feeds list"
