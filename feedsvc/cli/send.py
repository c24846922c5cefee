"""`feedsvc send`: an edition made now, and how far it is."""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import typer

from feedsvc.cli.options import ConfigOption, JsonOption, NewsletterArgument, run_with_app
from feedsvc.cli.output import print_json, say, say_error

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.cli.send_view import View

#: Seconds between looks at what another process does, and between tries; more where counting
#: takes long, so that it takes one part in twenty of the time at most.
_LOOK_SECONDS = 0.3
_LONGEST_LOOK_SECONDS = 5.0
_COUNTING_SHARE = 20
#: Between tries at least.
_SHORTEST_SECONDS = 0.02
#: How long nothing may move before it is said.
_STALL_SECONDS = 15.0
#: How long mail that may not go yet, because of a limit, is waited for here.
_PATIENCE = timedelta(minutes=5)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("send")(send)


def send(
    newsletter: NewsletterArgument, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Mail every subscriber of a newsletter what is new to them, now. Again: nothing is repeated.

    Beside a running `feedsvc serve` the mail is sent there, and its progress is shown here; should
    it end before, the rest is sent from here.

    Example: `feedsvc send daily`
    """

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.cli.send_view import open_view
        from feedsvc.editions.fire import fire_by_hand
        from feedsvc.editions.registry import find_newsletter

        async with app.database.write() as session:
            row = await find_newsletter(session, newsletter)
            edition_id = await fire_by_hand(session, row.newsletter, app.clock())
        with open_view(silent=as_json) as view:
            return await see_through(app, edition_id, view)

    report = run_with_app(config, work, renders=True)
    if as_json:
        print_json(report)
    else:
        print_report(report)
    if report["relay_problem"] or report["state"] in ("paused", "cancelled"):
        raise typer.Exit(1)


async def see_through(app: "App", edition_id: int, view: "View") -> dict[str, Any]:
    """Send an edition, or follow whoever does, until it has ended or nothing more can be done."""
    from feedsvc.errors import SenderBusy

    report, told = None, False
    while report is None:
        try:
            async with app.sending():
                await app.pipeline.compose(edition_id)
                own = asyncio.create_task(_send_what_may_go(app, edition_id))
                report = await _follow(app, edition_id, own, view)
                await own
        except SenderBusy:
            if not told:
                say_error("feedsvc serve sends it; this shows how far it is.", prefix=False)
            told = True
            report = await _follow(app, edition_id, None, view)
    return report


async def _send_what_may_go(app: "App", edition_id: int) -> None:
    """Send until nothing of the edition is left that a limit lets go soon."""
    from feedsvc.deliveries.totals import next_pending_at
    from feedsvc.editions.progress import load_edition
    from feedsvc.model.edition import EditionState

    while True:
        await app.pipeline.deliver()
        async with app.database.read() as session:
            edition = await load_edition(session, edition_id)
            next_at = await next_pending_at(session, edition_id)
        if edition.state is not EditionState.SENDING or app.sender.relay_problem:
            return
        wait = next_at - app.clock() if next_at is not None else None
        if wait is None or wait > _PATIENCE:
            return
        await asyncio.sleep(min(max(wait.total_seconds(), _SHORTEST_SECONDS), _LOOK_SECONDS))


async def _follow(
    app: "App", edition_id: int, own: "asyncio.Task[None] | None", view: "View"
) -> dict[str, Any] | None:
    """Show an edition's progress until it has ended, or until our own work on it has.

    None: another process was to send it, and does not run any more.
    """
    from feedsvc.cli.send_view import Standing
    from feedsvc.deliveries.totals import edition_totals
    from feedsvc.editions.progress import load_edition
    from feedsvc.model.edition import OPEN_EDITIONS, EditionState

    loop = asyncio.get_running_loop()
    ended_before, moved_at, complained = -1, loop.time(), False
    while True:
        through, began_at = own is not None and own.done(), loop.time()
        async with app.database.read() as session:
            edition = await load_edition(session, edition_id)
            totals = await edition_totals(session, edition_id)
        looked_at = loop.time()
        standing = Standing(edition.state, totals)
        view.show(standing, looked_at)
        goes_on = edition.state in OPEN_EDITIONS and edition.state is not EditionState.PAUSED
        if through or not goes_on:
            return {
                "edition": edition_id,
                "state": edition.state.value,
                "reason": edition.reason,
                "deliveries": {state.value: count for state, count in totals.items()},
                "left_out": edition.counters.get("left_out", {}),
                "relay_problem": app.sender.relay_problem if own is not None else None,
            }
        if standing.ended != ended_before:
            ended_before, moved_at = standing.ended, looked_at
        elif looked_at - moved_at > _STALL_SECONDS and not complained:
            complained = True
            _complain(beside=own is None)
        if own is None and app.lock.acquire():
            app.lock.release()
            return None
        pause = (looked_at - began_at) * _COUNTING_SHARE
        await asyncio.sleep(min(max(pause, _LOOK_SECONDS), _LONGEST_LOOK_SECONDS))


def _complain(*, beside: bool) -> None:
    say_error(
        "nothing has moved for a while: see the log of feedsvc serve for the reason (its relay,"
        " most likely), or feedsvc sending. Ctrl-C ends this view, not the sending."
        if beside
        else "nothing has moved for a while: a limit, or a slow relay. feedsvc sending shows what"
        " rests. Ctrl-C stops; what is pending goes out while feedsvc serves.",
        prefix=False,
    )


def print_report(report: dict[str, Any]) -> None:
    say(f"edition {report['edition']}: {report['state']}")
    if report["reason"]:
        say(f"  {report['reason']}")
    for state, count in report["deliveries"].items():
        say(f"  {count} {state}")
    for reason, count in sorted(report["left_out"].items()):
        say(f"  not to {count}: {reason}")
    if report["relay_problem"]:
        say_error(f"{report['relay_problem']}. What is pending goes out while feedsvc serves.")
    elif report["state"] == "paused":
        say_error(f"it goes on with: feedsvc editions resume {report['edition']}", prefix=False)
    elif report["deliveries"].get("pending"):
        say_error(
            "what is pending waits for a limit, and goes out while feedsvc serves. feedsvc sending"
            " shows which.",
            prefix=False,
        )
