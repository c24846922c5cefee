"""`feedsvc editions list|show`: what became of editions, and why."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedsvc.cli.editions_control import add_to
from feedsvc.cli.options import ConfigOption, EditionArgument, JsonOption, run_with_app
from feedsvc.cli.output import print_json, print_table, say, say_time

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.editions.listing import ListedEdition

#: States of deliveries that are neither open nor arrived.
_NOT_SENT = ("failed", "skipped", "uncertain", "held", "expired", "superseded")


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Show editions; pause, resume and cancel them.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("show")(show)
    add_to(group)
    app.add_typer(group, name="editions")


def list_(
    newsletter: Annotated[
        str | None, typer.Option("--newsletter", "-n", help="Only this newsletter.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, max=500, help="How many at most of those that are over.")
    ] = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List the editions that can still send, and the latest of the others, newest first.

    Example: `feedsvc editions list --newsletter daily`
    """

    async def work(app: "App") -> "list[tuple[ListedEdition, dict[str, int]]]":
        from feedsvc.deliveries.totals import load_totals
        from feedsvc.editions.listing import list_editions
        from feedsvc.editions.registry import find_newsletter

        async with app.database.read() as session:
            if newsletter is not None:
                await find_newsletter(session, newsletter)
            found = await list_editions(session, limit, newsletter)
            totals = await load_totals(session, [one.id for one in found])
        return [(one, _by_name(totals.get(one.id, {}))) for one in found]

    found = run_with_app(config, work)
    if as_json:
        print_json({"editions": [{**asdict(one), "deliveries": of} for one, of in found]})
        return
    if not found:
        say("No edition yet. Make one with: feedsvc send NEWSLETTER")
        return
    headings = ("id", "newsletter", "schedule", "made", "state", "mails", "sent", "not sent", "why")
    rows = [
        (
            str(one.id),
            one.newsletter,
            one.schedule or "by hand",
            say_time(one.created_at),
            one.state.value,
            str(sum(of.values())),
            str(of.get("sent", 0)),
            str(_count_not_sent(of)),
            one.reason or "",
        )
        for one, of in found
    ]
    print_table(headings, rows, numbers=("id", "mails", "sent", "not sent"))


def show(
    edition: EditionArgument, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Show an edition: its mails by state, why some were not sent, its relays and cohorts.

    Replies of mail servers are shown without the addresses in them.

    Example: `feedsvc editions show 17`
    """

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.deliveries.reasons import count_by_relay, load_reasons
        from feedsvc.deliveries.totals import edition_totals
        from feedsvc.editions.listing import list_cohorts, list_edition

        async with app.database.read() as session:
            line = await list_edition(session, edition)
            return {
                **asdict(line),
                "deliveries": _by_name(await edition_totals(session, edition)),
                "relays": await count_by_relay(session, edition),
                "not_sent": [asdict(one) for one in await load_reasons(session, edition)],
                "cohorts": [asdict(one) for one in await list_cohorts(session, edition)],
            }

    found = run_with_app(config, work)
    if as_json:
        print_json(found)
    else:
        _say_edition(found)


def _say_edition(found: dict[str, Any]) -> None:
    of: dict[str, int] = found["deliveries"]
    schedule = found["schedule"] or "by hand"
    say(f"edition {found['id']} of {found['newsletter']}, {schedule}: {found['state']}")
    if found["reason"]:
        say(f"  {found['reason']}")
    for name in ("created", "frozen", "paused", "done"):
        if found[f"{name}_at"]:
            what = {"created": "made", "frozen": "composed", "done": "over"}.get(name, name)
            say(f"  {what:9} {say_time(found[f'{name}_at'])}")
    counts = ", ".join(f"{count} {state}" for state, count in of.items())
    say(f"  {sum(of.values())} mails" + (f": {counts}" if counts else ""))
    for relay, count in found["relays"].items():
        say(f"  {count} went by {relay}")
    if found["waiting"]:
        say(f"  {found['waiting']} more are made when an earlier mail to them has ended")
    for reason, count in sorted(found["left_out"].items()):
        say(f"  not to {count}: {reason}")
    if found["dropped"] is not None:
        say(f"  for {found['dropped']} its articles were dropped")
    if found["not_sent"]:
        say("Not sent, or not yet:")
    for one in found["not_sent"]:
        meaning = f" ({one['meaning']})" if one["meaning"] else ""
        say(f"  {one['count']} {one['state']}: {one['reason']}{meaning}")
        for reply in one["examples"]:
            say(f"      {reply}")
    if found["cohorts"]:
        say(
            "1 mail:" if len(found["cohorts"]) == 1 else f"{len(found['cohorts'])} different mails:"
        )
    for one in found["cohorts"]:
        articles = "1 article" if one["articles"] == 1 else f"{one['articles']} articles"
        say(f"  to {one['deliveries']}, {one['language']}: {one['subject']}  ({articles})")
    _say_what_next(found, of)


def _say_what_next(found: dict[str, Any], of: dict[str, int]) -> None:
    if found["state"] == "paused":
        say(f"Go on with: feedsvc editions resume {found['id']}")
    if found["state"] in ("sending", "paused", "done") and (of.keys() & {"failed", "expired"}):
        say(f"Send again to those it did not reach: feedsvc editions retry {found['id']}")
    if "held" in of:
        say(f"Decide about those held: feedsvc deliveries uncertain list --edition {found['id']}")


def _by_name(totals: Any) -> dict[str, int]:
    return {state.value: count for state, count in totals.items()}


def _count_not_sent(of: dict[str, int]) -> int:
    return sum(of.get(state, 0) for state in _NOT_SENT)
