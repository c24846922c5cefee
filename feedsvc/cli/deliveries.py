"""`feedsvc deliveries …`: mail that may have arrived, and deciding about it."""

from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedsvc.cli.options import MAX_ID, ConfigOption, JsonOption, run_with_app
from feedsvc.cli.output import print_json, print_table, say, say_time

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.deliveries.settle import DoubtfulDelivery, Settled

IdsArgument = Annotated[
    list[int] | None,
    typer.Argument(max=MAX_ID, help="Ids as `deliveries uncertain list` shows them."),
]
EditionOption = Annotated[
    int | None, typer.Option("--edition", max=MAX_ID, help="All mails in doubt of this edition.")
]
AllOption = Annotated[bool, typer.Option("--all", help="All mails in doubt.")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Decide about mail that may have arrived.", no_args_is_help=True)
    uncertain = typer.Typer(
        help="Mail whose handover got no reply: nobody knows whether it arrived.",
        no_args_is_help=True,
    )
    for name, command in (
        ("list", list_),
        ("arrived", arrived),
        ("again", again),
        ("carry", carry),
    ):
        uncertain.command(name)(command)
    group.add_typer(uncertain, name="uncertain")
    app.add_typer(group, name="deliveries")


def list_(
    edition: Annotated[
        int | None, typer.Option(max=MAX_ID, help="Only mails of this edition.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List mails that may have arrived: first the held ones, which wait for you; newest first.

    Example: `feedsvc deliveries uncertain list`
    """

    async def work(app: "App") -> "list[DoubtfulDelivery]":
        from feedsvc.deliveries.settle import load_doubtful

        async with app.database.read() as session:
            return await load_doubtful(session, limit, edition)

    found = run_with_app(config, work)
    if as_json:
        print_json({"uncertain": [asdict(one) for one in found]})
        return
    if not found:
        say("No mail is in doubt.")
        return
    rows = [
        (
            str(one.id),
            one.state.value,
            say_time(one.since),
            f"edition {one.edition_id}" if one.edition_id else f"notice {one.notice_id}",
            one.address,
            one.reason or "",
        )
        for one in found
    ]
    print_table(("id", "state", "since", "what", "address", "why"), rows, numbers=("id",))
    if len(found) == limit:
        say("There may be more: --limit")


def arrived(
    ids: IdsArgument = None,
    edition: EditionOption = None,
    everything: AllOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Take mails as arrived: they are not repeated, and their articles count as mailed.

    Example: `feedsvc deliveries uncertain arrived 17 18`
    """
    _decide("arrived", ids, edition, everything, as_json=as_json, config=config)


def again(
    ids: IdsArgument = None,
    edition: EditionOption = None,
    everything: AllOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Send the same mails once more, with the same Message-ID. A second doubt is final.

    Example: `feedsvc deliveries uncertain again --edition 17`
    """
    _decide("again", ids, edition, everything, as_json=as_json, config=config)


def carry(
    ids: IdsArgument = None,
    edition: EditionOption = None,
    everything: AllOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Do not repeat held mails; their articles come in those readers' next digest.

    Only while nothing later was mailed to them: going back would repeat that.

    Example: `feedsvc deliveries uncertain carry --all`
    """
    _decide("carry", ids, edition, everything, as_json=as_json, config=config)


_DONE = {
    "arrived": "taken as arrived",
    "again": "to be sent once more, while feedsvc serves",
    "carry": "left to the next digest",
}


def _decide(
    how: str,
    ids: list[int] | None,
    edition: int | None,
    everything: bool,
    *,
    as_json: bool,
    config: Any,
) -> None:
    if sum((bool(ids), edition is not None, everything)) != 1:
        raise typer.BadParameter("name ids, or an --edition, or --all: one of them")
    settled = run_with_app(config, partial(_settle, how=how, ids=ids, edition=edition))
    if as_json:
        left_out = [{"id": one, "reason": why} for one, why in settled.left_out.items()]
        print_json({"decided": settled.done, "left_out": left_out})
    else:
        count = len(settled.done)
        say(f"{count} of {count + len(settled.left_out)} {_DONE[how]}.")
        for why, number in sorted(Counter(settled.left_out.values()).items()):
            say(f"  not {number}: {why}")
    if ids and not settled.done:
        raise typer.Exit(1)


async def _settle(app: "App", *, how: str, ids: list[int] | None, edition: int | None) -> "Settled":
    from feedsvc.deliveries.doubts import Settling
    from feedsvc.deliveries.settle import PIECE, Settled, find_doubtful, settle_doubts

    sending = app.settings.sending
    if ids is None or not ids:
        async with app.database.read() as session:
            ids = await find_doubtful(session, Settling(how), edition)
    settled = Settled()
    for start in range(0, len(ids), PIECE):
        async with app.database.write() as session:
            settled += await settle_doubts(
                session,
                Settling(how),
                ids[start : start + PIECE],
                app.clock(),
                digests_expire_after=timedelta(hours=sending.digest_expires_hours),
                notices_expire_after=timedelta(hours=sending.notice_expires_hours),
            )
    return settled
