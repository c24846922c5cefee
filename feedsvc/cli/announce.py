"""`feedsvc announce`: a letter of one's own to the subscribers of a newsletter."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedsvc.cli.letters import (
    DraftOption,
    FileOption,
    Prospect,
    RehearseOption,
    YesOption,
    agree,
    look_ahead,
    question,
    read_letter_file,
    say_draft,
    say_not_sent,
    say_prospect,
)
from feedsvc.cli.options import ConfigOption, JsonOption, NewsletterArgument, run_with_app
from feedsvc.cli.output import print_json, say

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.editions.recipients import Addressees
    from feedsvc.editions.registry import NewsletterRow
    from feedsvc.kit.addresses import Address

_TIME = "%Y-%m-%d %H:%M"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("announce")(announce)


def announce(
    newsletter: NewsletterArgument,
    subject: Annotated[str, typer.Option(help="Its subject line.")],
    file: FileOption,
    schedule: Annotated[
        list[str] | None, typer.Option(help="Only those with this schedule; may be repeated.")
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(help="Only those who follow this topic, or all; may be repeated."),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(help="Only those who read this language; zh is zh-CN, too. May be repeated."),
    ] = None,
    zone: Annotated[
        list[str] | None,
        typer.Option(help="Only those in this zone, such as Asia/Shanghai; may be repeated."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(help='When it goes, such as "2026-12-01 08:00", in time_zone of config.toml.'),
    ] = None,
    draft: DraftOption = False,
    test: Annotated[
        str | None, typer.Option(help="Mail it to this address only, at once, marked as a test.")
    ] = None,
    rehearse: RehearseOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Mail something that is no article, for once, to a newsletter's subscribers or some of them.

    It stands beside the digests: nobody's next one is changed or delayed by it. Each gets it in
    the language of their mails; the letter itself is sent as it is written.

    Example: `feedsvc announce daily --subject "We are moving" --file letter.md --rehearse`
    """
    body = read_letter_file(file)
    address = _own_address(test) if test is not None else None

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.audience.offers import load_known_topics
        from feedsvc.editions.recipients import Addressees
        from feedsvc.editions.registry import find_newsletter
        from feedsvc.editions.writing import read_writing
        from feedsvc.errors import NotFound

        async with app.database.read() as session:
            row = await find_newsletter(session, newsletter)
            known = await load_known_topics(session, row.newsletter, topic or ())
        if unknown := sorted({*(topic or ())} - known):
            raise NotFound(f"no article has the topic {unknown[0]!r}")
        addressees = Addressees(
            tuple(schedule or ()), tuple(topic or ()), tuple(language or ()), tuple(zone or ())
        )
        _check(row, addressees)
        writing = read_writing(subject, body, addressees)
        due_at = _read_time(app, at) if at is not None else app.clock()
        prospect = await look_ahead(app, row.newsletter, writing)
        if rehearse:
            return {**prospect.facts(), "mail": prospect.shown(), "prospect": prospect}
        if address is not None:
            return await _test(app, prospect, address)
        return await _make(
            app, prospect, due_at, draft=draft, later=at is not None, yes=yes, as_json=as_json
        )

    found = run_with_app(config, work, renders=True)
    _say(found, as_json=as_json)


async def _make(
    app: "App",
    prospect: Prospect,
    due_at: datetime,
    *,
    draft: bool,
    later: bool,
    yes: bool,
    as_json: bool,
) -> dict[str, Any]:
    from feedsvc.cli.send import see_through
    from feedsvc.cli.send_view import open_view
    from feedsvc.editions.writing import make_letter
    from feedsvc.errors import NotFound

    facts = prospect.facts()
    if not prospect.counts.total and not (draft or later):
        why = ", ".join(f"{count} {why}" for why, count in prospect.counts.left_out.items())
        raise NotFound(f"nobody would get it ({why or 'there are no subscribers'})")
    if not draft:
        if not (yes or as_json):
            say_prospect(prospect)
        when = f" at {_say_local(app, due_at)}" if later else ""
        if not agree(question(prospect, when), yes=yes, as_json=as_json):
            return facts | {"edition": None}
    newsletter_id = prospect.newsletter.id or 0
    async with app.database.write() as session:
        edition_id = await make_letter(
            session, newsletter_id, prospect.writing, due_at=due_at, now=app.clock(), draft=draft
        )
    facts |= {"edition": edition_id, "state": "draft" if draft else "composing", "due_at": due_at}
    if draft or later:
        return facts | {"local": _say_local(app, due_at)}
    with open_view(silent=as_json) as view:
        return facts | {"report": await see_through(app, edition_id, view)}


async def _test(app: "App", prospect: Prospect, address: "Address") -> dict[str, Any]:
    from feedsvc.cli.trial import open_trials
    from feedsvc.relays.once import hand_over_once

    trials = open_trials(app)
    message = trials.maker.make(
        prospect.mail,
        prospect.newsletter,
        prospect.writing.kind,
        address.wire,
        language=prospect.language,
        date=app.clock(),
    )
    relay, _ = await hand_over_once(trials.open_relays(prospect.newsletter), message)
    return {"tested": address.wire, "relay": relay, "subject": prospect.writing.subject}


def _say(found: dict[str, Any], *, as_json: bool) -> None:
    prospect, report = found.pop("prospect", None), found.get("report")
    local = found.pop("local", None)
    if as_json:
        print_json(found)
    elif "tested" in found:
        say(f"{found['relay']} has taken it to {found['tested']}: {found['subject']}")
    elif prospect is not None:
        say_prospect(prospect)
    elif found["edition"] is None:
        say_not_sent()
    elif report is not None:
        from feedsvc.cli.send import print_report

        print_report(report)
    elif found["state"] == "draft":
        say_draft(found["edition"])
    else:
        say(f"Edition {found['edition']} goes out at {local}, while feedsvc serves.")
        say(f"Not after all? feedsvc editions cancel {found['edition']}")
    is_stuck = report and (report["relay_problem"] or report["state"] in ("paused", "cancelled"))
    if is_stuck or found.get("edition", 0) is None:
        raise typer.Exit(1)


def _own_address(text: str) -> "Address":
    from feedsvc.errors import InvalidAddress
    from feedsvc.kit.addresses import parse_address

    parsed = parse_address(text)
    if parsed.smtputf8:
        raise InvalidAddress("letters beyond ASCII before the @ cannot be mailed to yet")
    return parsed


def _check(row: "NewsletterRow", addressees: "Addressees") -> None:
    """Name what nobody can have chosen. Raises NotFound."""
    from zoneinfo import available_timezones

    from feedsvc.errors import NotFound

    schedules = [one.key for one in row.schedules]
    for one in addressees.schedules:
        if one not in schedules:
            names = ", ".join(schedules) or "none"
            raise NotFound(f"{row.newsletter.key} has no schedule {one!r} (it has: {names})")
    for one in addressees.zones:
        if one not in available_timezones():
            raise NotFound(f"there is no time zone {one!r}; they are named like Asia/Shanghai")


def _read_time(app: "App", text: str) -> datetime:
    from zoneinfo import ZoneInfo

    from feedsvc.editions.wall_clock import instant_of

    zone = ZoneInfo(app.settings.time_zone)
    try:
        wall = datetime.fromisoformat(text.strip())
        due_at = instant_of(wall, zone) if wall.tzinfo is None else wall.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f'--at: {text!r} is not like "2026-12-01 08:00"') from error
    if due_at <= app.clock():
        raise typer.BadParameter(f"--at: {_say_local(app, due_at)} is over; leave it out for now")
    return due_at


def _say_local(app: "App", at: datetime) -> str:
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(app.settings.time_zone)
    return f"{at.astimezone(zone):{_TIME}} {zone}"
