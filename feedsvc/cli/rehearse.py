"""`feedsvc rehearse`: what an edition would be."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import typer

from feedsvc.cli.options import ConfigOption, JsonOption, NewsletterArgument, run_with_app
from feedsvc.cli.output import print_json, say

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.editions.rehearse import Rehearsal


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rehearse")(rehearse)


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
