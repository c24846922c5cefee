"""`feedsvc editions list`, and the group that the other commands on editions are in."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedsvc.cli import editions_control, editions_review, editions_show
from feedsvc.cli.options import ConfigOption, JsonOption, run_with_app
from feedsvc.cli.output import print_json, print_table, say, say_time

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.editions.listing import ListedEdition

#: States of deliveries that are neither open nor arrived.
_NOT_SENT = ("failed", "skipped", "uncertain", "held", "expired", "superseded")


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        help="Show editions; review drafts; pause, resume and cancel.", no_args_is_help=True
    )
    group.command("list")(list_)
    editions_show.add_to(group)
    editions_review.add_to(group)
    editions_control.add_to(group)
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
            one.occasion,
            say_time(one.created_at),
            one.state.value,
            str(sum(of.values())),
            str(of.get("sent", 0)),
            str(_count_not_sent(of)),
            _say_why(one),
        )
        for one, of in found
    ]
    print_table(headings, rows, numbers=("id", "mails", "sent", "not sent"))


def _say_why(one: "ListedEdition") -> str:
    if one.state.value != "draft":
        return one.reason or ""
    return editions_show.say_deadline(one.due_at, one.zone or "UTC", one.unapproved)


def _by_name(totals: Any) -> dict[str, int]:
    return {state.value: count for state, count in totals.items()}


def _count_not_sent(of: dict[str, int]) -> int:
    return sum(of.get(state, 0) for state in _NOT_SENT)
