"""`feedsvc editions show`: what an edition holds, what became of it, and what can be done."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import typer

from feedsvc.cli.options import ConfigOption, EditionArgument, JsonOption, run_with_app
from feedsvc.cli.output import print_json, say, say_time

if TYPE_CHECKING:
    from feedsvc.app import App

#: Articles that are written out for people; --json has all.
_MOST_ARTICLES = 200
_OUTCOMES = {
    "mailed": "to",
    "and_more": 'under "and more" to',
    "withdrawn": "withdrawn, for",
    "dropped": "dropped, for",
    "duplicate": "told by another article, for",
}


def add_to(group: typer.Typer) -> None:
    """Add the command to the group of editions."""
    group.command("show")(show)


def show(
    edition: EditionArgument, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Show an edition: its articles, its mails by state, why some were not sent, relays, cohorts.

    Of a draft, what it would hold if it went as it is now. Replies of mail servers are shown
    without the addresses in them.

    Example: `feedsvc editions show 17`
    """

    async def work(app: "App") -> dict[str, Any]:
        return await load_shown(app, edition)

    found = run_with_app(config, work)
    if as_json:
        print_json(found)
    else:
        say_edition(found)


async def load_shown(app: "App", edition_id: int) -> dict[str, Any]:
    """All that is shown of an edition."""
    from feedsvc.deliveries.reasons import count_by_relay, load_reasons
    from feedsvc.deliveries.totals import edition_totals
    from feedsvc.editions.contents import load_contents
    from feedsvc.editions.listing import list_cohorts, list_edition, list_waves
    from feedsvc.editions.progress import load_edition

    async with app.database.read() as session:
        line = await list_edition(session, edition_id)
        totals = await edition_totals(session, edition_id)
        found = {
            **asdict(line),
            **asdict(await load_contents(session, await load_edition(session, edition_id))),
            "waves": [asdict(one) for one in await list_waves(session, edition_id)],
            "deliveries": {state.value: count for state, count in totals.items()},
            "relays": await count_by_relay(session, edition_id),
            "not_sent": [asdict(one) for one in await load_reasons(session, edition_id)],
            "cohorts": [asdict(one) for one in await list_cohorts(session, edition_id)],
        }
    return found | {"zone": line.zone or app.settings.time_zone}


def say_edition(found: dict[str, Any]) -> None:
    """Show it to a person."""
    schedule = found["schedule"] or "by hand"
    say(f"edition {found['id']} of {found['newsletter']}, {schedule}: {found['state']}")
    if found["reason"]:
        say(f"  {found['reason']}")
    if found["subject"]:
        say(f"  {found['kind']}: {found['subject']}")
    _say_times(found)
    _say_review(found)
    if found["articles"]:
        say("1 article:" if len(found["articles"]) == 1 else f"{len(found['articles'])} articles:")
    for one in found["articles"][:_MOST_ARTICLES]:
        say(f"  {one['id']:>6}  {_in_zone(one['published_at'], found['zone'])}  {one['title']}")
        say(f"          {_say_outcomes(one)}")
    if (beyond := len(found["articles"]) - _MOST_ARTICLES) > 0:
        say(f"  … and {beyond} more; --json has all")
    _say_mails(found)
    _say_what_next(found)


def _say_times(found: dict[str, Any]) -> None:
    if found["due_at"] and found["state"] != "draft":
        say(f"  due       {say_due(found['due_at'], found['zone'])}")
    for name in ("created", "frozen", "paused", "done"):
        if found[f"{name}_at"]:
            what = {"created": "made", "frozen": "composed", "done": "over"}.get(name, name)
            say(f"  {what:9} {say_time(found[f'{name}_at'])}")
    if len(found["waves"]) > 1:
        for one in found["waves"]:
            composed = "composed" if one["composed_at"] else "to come"
            if one["missed"]:
                composed = f"missed ({one['missed']})"
            say(f"  {one['zone']}: {say_time(one['due_at'])}, {composed}")


def _say_review(found: dict[str, Any]) -> None:
    curation = found["curation"]
    if found["state"] == "draft":
        say(f"  {say_deadline(found['due_at'], found['zone'], found['unapproved'])}")
        readers = found["readers"]
        say(f"  for {'1 reader' if readers == 1 else f'{readers} readers'} if it went now")
    elif curation["approved_at"]:
        at = datetime.fromisoformat(curation["approved_at"])
        say(f"  approved  {say_time(at)} by {curation['approved_by']}")
    elif found["cut_seq"] is not None and found["state"] not in ("skipped", "cancelled"):
        say("  nobody approved it in time, so it went as it was")
    for what, text in (("intro", curation["intro"]), ("text", found["body"])):
        if text:
            say(f"  with the {what}:")
            for line in text.splitlines():
                say(f"    {line}")


def say_due(at: datetime, zone: str) -> str:
    """An instant with day and zone, as schedules are read."""
    return f"{at.astimezone(ZoneInfo(zone)):%a} {_in_zone(at, zone)} ({zone})"


def say_deadline(at: datetime | None, zone: str, unapproved: str | None) -> str:
    """Until when a draft waits, and what happens then."""
    if unapproved is None:
        return "waits for approval"
    then = "goes as it is" if unapproved == "send" else "is skipped"
    return f"waits for approval; unless approved it {then} on {say_due(at, zone)}" if at else ""


def _in_zone(at: datetime, zone: str) -> str:
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def _say_outcomes(article: dict[str, Any]) -> str:
    said = [f"{_OUTCOMES[name]} {count}" for name, count in article["outcomes"].items()]
    if article["first"]:
        said.insert(0, "put first")
    if article["dropped_for_good"]:
        said.append("out of later editions too")
    return ", ".join(said)


def _say_mails(found: dict[str, Any]) -> None:
    of: dict[str, int] = found["deliveries"]
    counts = ", ".join(f"{count} {state}" for state, count in of.items())
    if of or found["state"] != "draft":
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


def _say_what_next(found: dict[str, Any]) -> None:
    of, number = found["deliveries"], found["id"]
    if found["state"] == "draft":
        say(f"See it in your inbox: feedsvc test {found['newsletter']} YOU --edition {number}")
        say(
            f"Let it go: feedsvc editions approve {number}   or not: feedsvc editions skip {number}"
        )
    if found["state"] == "paused":
        say(f"Go on with: feedsvc editions resume {number}")
    if found["state"] in ("sending", "paused", "done") and (of.keys() & {"failed", "expired"}):
        say(f"Send again to those it did not reach: feedsvc editions retry {number}")
    if "held" in of:
        say(f"Decide about those held: feedsvc deliveries uncertain list --edition {number}")
