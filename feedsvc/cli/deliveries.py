"""`feedsvc deliveries …`: mail that waits for a decision."""

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from feedsvc.cli.options import ConfigOption, JsonOption, run_with_app
from feedsvc.cli.output import print_json, say

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.deliveries.settle import HeldDelivery


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Decide about mail that may have arrived.", no_args_is_help=True)
    group.command("held")(held)
    group.command("settle")(settle)
    app.add_typer(group, name="deliveries")


def held(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List mails whose handover got no reply and that wait for you (uncertain_… = "hold").

    Example: `feedsvc deliveries held`
    """

    async def work(app: "App") -> "list[HeldDelivery]":
        from feedsvc.deliveries.settle import load_held

        async with app.database.read() as session:
            return await load_held(session, limit)

    found = run_with_app(config, work)
    if as_json:
        print_json({"held": [asdict(one) for one in found]})
        return
    for one in found:
        what = f"edition {one.edition_id}" if one.edition_id else f"notice {one.notice_id}"
        say(f"{one.id}  {one.since:%Y-%m-%d %H:%M} UTC  {what}  {one.address}  {one.reason}")
    if not found:
        say("Nothing is held.")


def settle(
    ids: Annotated[list[int], typer.Argument(help="Ids as `deliveries held` lists them.")],
    again: Annotated[
        bool, typer.Option("--again/--arrived", help="Send the same mail once more, or not.")
    ],
    config: ConfigOption = None,
) -> None:
    """Decide about held mails: they arrived, or the same mail goes once more.

    Example: `feedsvc deliveries settle 17 18 --arrived`
    """

    async def work(app: "App") -> int:
        from feedsvc.deliveries.settle import send_again, settle_arrived

        now = app.clock()
        async with app.database.write() as session:
            if not again:
                return await settle_arrived(session, ids, now)
            hours = app.settings.sending.digest_expires_hours
            return await send_again(session, ids, now, timedelta(hours=hours))

    count = run_with_app(config, work)
    say(f"{count} of {len(ids)} settled." + (" They go while feedsvc serves." if again else ""))
    if count < len(ids):
        say("The others are not held, or another mail to the same person is under way.")
