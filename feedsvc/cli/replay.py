"""`feedsvc replay`: what an edition of the past was."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from feedsvc.cli.mail_files import OutputOption, ShowOption, print_mail, write_mails
from feedsvc.cli.options import ConfigOption, EditionArgument, JsonOption, run_with_app
from feedsvc.cli.output import print_json, say

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.editions.replay import Replay, ReplayedCohort
    from feedsvc.pipeline.shown_mail import ShownMail


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(replay)


def replay(
    edition: EditionArgument,
    subscriber: Annotated[
        str | None,
        typer.Option("--subscriber", "-s", help="Only the mail of this address, or id."),
    ] = None,
    show: ShowOption = None,
    output: OutputOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show a past edition: what each cohort got, as it was rendered, and what came of it.

    Nobody's address or links are in the mails shown: `<address>` stands for them. Changes nothing.

    Example: `feedsvc replay 17 --show text`
    """
    wants_mails = show is not None or output is not None

    async def work(app: "App") -> "tuple[Replay, list[ShownMail]]":
        from feedsvc.audience.lookup import find_subscriber
        from feedsvc.editions.replay import load_rendered, load_replay
        from feedsvc.pipeline.shown_mail import show_mail

        async with app.database.read() as session:
            person = await find_subscriber(session, subscriber) if subscriber else None
            found = await load_replay(session, edition, person)
            mails = []
            for one in found.cohorts if wants_mails else ():
                cohort = await load_rendered(session, one.id)
                name = f"edition-{edition}-cohort-{one.id}-{one.language}"
                mails.append(show_mail(name, cohort.subject, cohort.html, cohort.text, cohort.page))
        return found, mails

    found, mails = run_with_app(config, work)
    if output is not None:
        write_mails(mails, output)
    if show is not None:
        print_mail(mails, show)
    elif as_json:
        print_json(asdict(found))
    else:
        _say_replay(found)


def _say_replay(found: "Replay") -> None:
    schedule = found.schedule or "by hand"
    say(f"{found.kind} {found.id} of {found.newsletter}, {schedule}: {found.state}")
    if found.reason:
        say(f"  {found.reason}")
    for wave in found.waves:
        due = _time(wave.due_at, wave.zone)
        missed = f"; missed: {wave.missed}" if wave.missed else ""
        waiting = f"; {wave.waiting} wait for an earlier mail" if wave.waiting else ""
        say(f"  due {due}, articles up to number {wave.cut_seq}{missed}{waiting}")
        for outcome, readers in wave.without_mail.items():
            say(f"    no mail to {readers}: {outcome}")
    for reason, count in sorted(found.left_out.items()):
        say(f"  not to {count}: {reason}")
    for cohort in found.cohorts:
        _say_cohort(cohort)
    if not found.cohorts:
        say("  no mail")


def _say_cohort(cohort: "ReplayedCohort") -> None:
    counts = ", ".join(f"{count} {state}" for state, count in cohort.deliveries.items())
    say(f"cohort {cohort.id}, {cohort.language}, {counts or 'no mail left'}: {cohort.subject}")
    for item in cohort.items:
        changed = f" (revision {item.revision}; edited since)" if item.changed else ""
        say(f"    {item.outcome:10} {item.article_id:>6}  {item.title}{changed}")


def _time(at: datetime, zone: str) -> str:
    from feedsvc.editions.wall_clock import find_zone

    known = find_zone(zone)
    return f"{at.astimezone(known):%a %Y-%m-%d %H:%M} {known}"
