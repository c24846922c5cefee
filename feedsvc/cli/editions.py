"""`feedsvc rehearse` and `send`: what an edition would be, and making one now."""

import asyncio
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from feedsvc.cli.options import ConfigOption, JsonOption, run_with_app
from feedsvc.cli.output import console, print_json, say, say_error

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.editions.rehearse import Rehearsal

NewsletterArgument = Annotated[str, typer.Argument(help="Key of the newsletter.")]
#: Seconds between looks at the rows of a send that another process does.
_LOOK_SECONDS = 0.3
#: How long nothing may move before it is said.
_STALL = timedelta(seconds=15)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("rehearse")(rehearse)
    app.command("send")(send)


def rehearse(
    newsletter: NewsletterArgument, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Show what each schedule would mail if it came due now, to how many, and why not to others.

    Sends nothing and changes nothing.

    Example: `feedsvc rehearse daily`
    """

    async def work(app: "App") -> "list[Rehearsal]":
        from feedsvc.editions import rehearse as rehearsing
        from feedsvc.editions.registry import find_newsletter

        async with app.database.read() as session:
            row = await find_newsletter(session, newsletter)
            return await rehearsing.rehearse(session, row, app.clock())

    rehearsals = run_with_app(config, work)
    if as_json:
        print_json([_facts(one) for one in rehearsals])
        return
    for one in rehearsals:
        _print_rehearsal(one)


def _facts(one: "Rehearsal") -> dict[str, Any]:
    return {**asdict(one), "schedule": one.schedule.key}


def _print_rehearsal(one: "Rehearsal") -> None:
    zone = ZoneInfo(one.schedule.zone)
    due = (
        f"next due {one.next_due_at.astimezone(zone):%a %Y-%m-%d %H:%M} {zone}"
        if one.next_due_at
        else "never due"
    )
    say(f"{one.newsletter}, {one.schedule.key} ({one.schedule.label}): {due}")
    mails = "1 mail" if one.cohorts == 1 else f"{one.cohorts} different mails"
    readers = "1 subscriber" if one.readers == 1 else f"{one.readers} subscribers"
    say(f"  would go to {readers}" + (f" as {mails}" if one.cohorts else ""))
    for article in one.articles:
        at = f"{article.published_at.astimezone(zone):%Y-%m-%d %H:%M}"
        more = f", counted for {article.counted_for}" if article.counted_for else ""
        say(f"    {at}  {article.title}  (to {article.mailed_to}{more})")
    for reason, count in sorted(one.left_out.items()):
        say(f"  not to {count}: {reason}")


def send(
    newsletter: NewsletterArgument, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Mail every subscriber of a newsletter what is new to them, now. Again: nothing is repeated.

    Beside a running `feedsvc serve` the mail is sent there, and its progress is shown here; should
    it end before, the rest is sent from here.

    Example: `feedsvc send daily`
    """

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.editions.fire import fire_by_hand
        from feedsvc.editions.registry import find_newsletter
        from feedsvc.errors import SenderBusy

        async with app.database.write() as session:
            row = await find_newsletter(session, newsletter)
            edition_id = await fire_by_hand(session, row.newsletter, app.clock())
        report, told = None, False
        while report is None:
            try:
                async with app.sending():
                    await app.pipeline.compose(edition_id)
                    own = asyncio.create_task(app.pipeline.deliver())
                    report = await _follow(app, edition_id, own)
                    await own
            except SenderBusy:
                if not told:
                    say_error("feedsvc serve sends it; this shows how far it is.", prefix=False)
                told = True
                report = await _follow(app, edition_id, None)
        return report

    report = run_with_app(config, work, renders=True)
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    if report["relay_problem"]:
        raise typer.Exit(1)


async def _follow(
    app: "App", edition_id: int, own: "asyncio.Task[int] | None"
) -> dict[str, Any] | None:
    """Show an edition's progress until it has ended, or until our own work on it has.

    None: another process was to send it, and does not run any more.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    from feedsvc.deliveries.totals import edition_totals
    from feedsvc.editions.progress import load_edition
    from feedsvc.model.delivery import OPEN_STATES
    from feedsvc.model.edition import OPEN_EDITIONS

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("composing", total=None)
        ended_before, stalled_at = -1, app.clock()
        while True:
            through = own is not None and own.done()
            async with app.database.read() as session:
                edition = await load_edition(session, edition_id)
                totals = await edition_totals(session, edition_id)
            ended = sum(count for state, count in totals.items() if state not in OPEN_STATES)
            bar.update(
                task,
                description=edition.state.value,
                total=sum(totals.values()) or None,
                completed=ended,
            )
            if through or edition.state not in OPEN_EDITIONS:
                return {
                    "edition": edition_id,
                    "state": edition.state.value,
                    "reason": edition.reason,
                    "deliveries": {state.value: count for state, count in totals.items()},
                    "left_out": edition.counters.get("left_out", {}),
                    "relay_problem": app.sender.relay_problem if own is not None else None,
                }
            stalled_at, ended_before = _note_stall(ended, ended_before, stalled_at, app.clock())
            if own is None and app.lock.acquire():
                app.lock.release()
                return None
            await asyncio.sleep(_LOOK_SECONDS)


def _note_stall(
    ended: int, ended_before: int, stalled_at: datetime, now: datetime
) -> tuple[datetime, int]:
    """Say it once when nothing has moved for a while; since when, and how many had ended."""
    if ended != ended_before:
        return now, ended
    if now - stalled_at > _STALL:
        say_error(
            "nothing has moved for a while: see the log of feedsvc serve for the reason (its"
            " relay, most likely). Ctrl-C ends this view, not the sending.",
            prefix=False,
        )
        return now + timedelta(days=1), ended
    return stalled_at, ended


def _print_report(report: dict[str, Any]) -> None:
    say(f"edition {report['edition']}: {report['state']}")
    if report["reason"]:
        say(f"  {report['reason']}")
    for state, count in report["deliveries"].items():
        say(f"  {count} {state}")
    for reason, count in sorted(report["left_out"].items()):
        say(f"  not to {count}: {reason}")
    if report["relay_problem"]:
        say_error(f"{report['relay_problem']}. What is pending goes out while feedsvc serves.")
