"""`feedsvc editions pause|resume|cancel|retry`.

These change rows only. Whoever sends sees it before the next mail; nothing is sent from here.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedsvc.cli.options import ConfigOption, EditionArgument, JsonOption, run_with_app
from feedsvc.cli.output import print_json, say

if TYPE_CHECKING:
    from feedsvc.app import App


def add_to(group: typer.Typer) -> None:
    """Add the commands to the group of editions."""
    group.command("pause")(pause)
    group.command("resume")(resume)
    group.command("cancel")(cancel)
    group.command("retry")(retry)


def pause(
    edition: EditionArgument,
    reason: Annotated[
        str, typer.Option(help="Why, for whoever looks at it later.")
    ] = "paused by the operator",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Stop an edition at its next mail, until it is resumed; a restart does not resume it.

    Example: `feedsvc editions pause 17 --reason "a wrong headline"`
    """

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.editions.control import pause_edition

        async with app.database.write() as session:
            changed = await pause_edition(session, edition, reason, app.clock())
        return {**await _standing(app, edition), "changed": changed}

    found = run_with_app(config, work)
    if as_json:
        print_json(found)
        return
    was = "is paused" if found["changed"] else f"was paused already: {found['reason']}"
    say(f"Edition {edition} {was}. {_say_waiting(found)}")
    say(f"Go on with: feedsvc editions resume {edition}")


def resume(
    edition: EditionArgument, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Have a paused edition go on; who has been mailed is not mailed again.

    Example: `feedsvc editions resume 17`
    """

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.deliveries.totals import count_too_late
        from feedsvc.editions.control import resume_edition

        async with app.database.write() as session:
            changed = await resume_edition(session, edition)
        async with app.database.read() as session:
            too_late = await count_too_late(session, edition, app.clock())
        return {**await _standing(app, edition), "changed": changed, "too_late": too_late}

    found = run_with_app(config, work)
    if as_json:
        print_json(found)
        return
    was = "goes on while feedsvc serves" if found["changed"] else "was not paused"
    say(f"Edition {edition} {was}. {_say_waiting(found)}")
    if found["too_late"]:
        say(
            f"{found['too_late']} of them waited for too long (sending.digest_expires_hours) and"
            " will be given up; their articles come with the next edition. To send them all the"
            f" same, afterwards: feedsvc editions retry {edition}"
        )


def cancel(
    edition: EditionArgument,
    drop: Annotated[
        bool,
        typer.Option(
            "--drop", help="Its articles too: who has not got them will not, in no later edition."
        ),
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Give an edition up, for good. Unless --drop is said, the next one takes its articles over.

    Example: `feedsvc editions cancel 17`
    """

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.editions.control import PIECE, cancel_edition, finish_cancelled
        from feedsvc.editions.listing import list_edition

        async with app.database.write() as session:
            changed = await cancel_edition(session, edition, drop=drop)
        ended = PIECE
        while ended:
            async with app.database.write() as session:
                ended = await finish_cancelled(session, PIECE, app.clock())
        async with app.database.read() as session:
            line = await list_edition(session, edition)
        return {
            **await _standing(app, edition),
            "kind": line.kind.value,
            "changed": changed,
            "dropped": line.dropped,
        }

    found = run_with_app(config, work)
    if as_json:
        print_json(found)
        return
    of = found["deliveries"]
    was = "is cancelled" if found["changed"] else "was cancelled already"
    say(
        f"Edition {edition} {was}: {of.get('sent', 0)} of {sum(of.values())} mails were sent,"
        f" {of.get('skipped', 0)} will not be."
    )
    if found["dropped"] is not None:
        say(f"Its articles were dropped for {found['dropped']} subscribers.")
    elif found["kind"] == "digest":
        say("Its articles come with the next edition.")
    if hand := of.get("claimed", 0) + of.get("dot", 0):
        say(f"{hand} were on their way; those not handed over yet are not sent.")


def retry(
    edition: EditionArgument,
    uncertain: Annotated[
        bool,
        typer.Option("--uncertain", help="Also mails that may have arrived: some get them twice."),
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Send again to those only whom an edition did not reach: refused, or given up.

    Left out is who has got its articles by a later edition, or cannot be mailed any more.

    Example: `feedsvc editions retry 17`
    """

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.editions.control import PIECE
        from feedsvc.editions.retry import Retried, find_failed, retry_failed

        lasts = timedelta(hours=app.settings.sending.digest_expires_hours)
        async with app.database.read() as session:
            ids = await find_failed(session, edition, uncertain)
        retried = Retried()
        for start in range(0, max(len(ids), 1), PIECE):
            async with app.database.write() as session:
                retried += await retry_failed(
                    session,
                    edition,
                    app.clock(),
                    lasts,
                    uncertain=uncertain,
                    among=ids[start : start + PIECE],
                )
        standing = await _standing(app, edition)
        return {**standing, "again": retried.again, "not_again": dict(retried.left_out)}

    found = run_with_app(config, work)
    if as_json:
        print_json(found)
        return
    when = "once it is resumed" if found["state"] == "paused" else "while feedsvc serves"
    again = found["again"]
    if again:
        say(f"{'1 mail goes' if again == 1 else f'{again} mails go'} again {when}.")
    else:
        say("Nobody is left to send it to again.")
    for why, count in sorted(found["not_again"].items()):
        say(f"  not to {count}: {why}")


async def _standing(app: "App", edition_id: int) -> dict[str, Any]:
    """How an edition stands after what was done to it."""
    from feedsvc.deliveries.totals import edition_totals
    from feedsvc.editions.progress import load_edition

    async with app.database.read() as session:
        edition = await load_edition(session, edition_id)
        totals = await edition_totals(session, edition_id)
    return {
        "edition": edition_id,
        "state": edition.state.value,
        "reason": edition.reason,
        "deliveries": {state.value: count for state, count in totals.items()},
    }


def _say_waiting(found: dict[str, Any]) -> str:
    of = found["deliveries"]
    waiting = of.get("pending", 0) + of.get("deferred", 0)
    return f"{of.get('sent', 0)} of {sum(of.values())} mails are sent, {waiting} wait."
