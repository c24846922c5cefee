"""`feedsvc subscribers set|pause|resume|show`: one person, and what they have chosen."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedsvc.cli.options import ConfigOption, JsonOption, NewsletterArgument, run_with_app
from feedsvc.cli.output import print_json, print_table, say, say_time

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from feedsvc.app import App
    from feedsvc.audience.person import Person, ShownSubscription
    from feedsvc.kit.addresses import Address
    from feedsvc.model.subscriber import Resume

#: Does something to a subscription, by its id.
Change = Callable[["AsyncSession", int, datetime], Awaitable[None]]
#: What is true of a subscription, by name.
Standing = Mapping[str, Any]

AddressArgument = Annotated[str, typer.Argument(help="Their e-mail address.")]
FromNowOption = Annotated[
    bool,
    typer.Option("--from-now", help="What is published during the pause is not sent to them."),
]
CatchUpOption = Annotated[
    bool, typer.Option("--catch-up", help="What is published during the pause is sent then.")
]

_OPERATOR = "operator"
_CHOSEN = ("schedule", "topics", "language", "zone")


def add_to(group: typer.Typer) -> None:
    """Add the commands to the group of subscribers."""
    group.command("show")(show)
    group.command("set")(set_)
    group.command("pause")(pause)
    group.command("resume")(resume)


def show(
    address: AddressArgument, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Show somebody's subscriptions: what they chose, how far they are, mails and changes.

    Example: `feedsvc subscribers show li.lei@example.com`
    """
    from feedsvc.kit.addresses import parse_address

    parsed = parse_address(address)

    async def work(app: "App") -> "Person":
        from feedsvc.audience.person import find_person

        async with app.database.read() as session:
            return await find_person(session, parsed)

    person = run_with_app(config, work)
    if as_json:
        from dataclasses import asdict

        print_json(asdict(person))
        return
    name = f", {person.name}" if person.name else ""
    failures = f" ({person.failures} failures)" if person.failures else ""
    say(f"{person.address}{name}: subscriber {person.id}, address {person.state}{failures}")
    for one in person.subscriptions:
        _say_subscription(one, person.newest)


def set_(
    address: AddressArgument,
    newsletter: NewsletterArgument,
    schedule: Annotated[str | None, typer.Option(help="Key of the schedule.")] = None,
    topic: Annotated[
        list[str] | None, typer.Option(help="Only articles with this topic; may be repeated.")
    ] = None,
    all_topics: Annotated[
        bool, typer.Option("--all-topics", help="Articles of any topic.")
    ] = False,
    language: Annotated[
        str | None, typer.Option(help="Language of the mails around the articles.")
    ] = None,
    zone: Annotated[
        str | None, typer.Option(help='Their time zone; "" for that of the schedule.')
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Change what somebody has chosen for a newsletter; the rest stays.

    Their next mail reaches back to the last one, and has what matches the new choices.

    Example: `feedsvc subscribers set li.lei@example.com daily --schedule weekly --topic 科技`
    """
    if topic and all_topics:
        raise typer.BadParameter("either --topic or --all-topics")
    topics = topic or ([] if all_topics else None)
    if all(one is None for one in (schedule, topics, language, zone)):
        raise typer.BadParameter("say what to change: --schedule, --topic, --language or --zone")

    async def change(session: "AsyncSession", subscription_id: int, now: datetime) -> None:
        from feedsvc.audience.choices import Choices, change_choices

        wanted = Choices(schedule, topics, language, zone)
        await change_choices(session, subscription_id, wanted, now, _OPERATOR)

    before, after = _change(address, newsletter, config, change)
    if as_json:
        print_json(after)
        return
    changes = [
        f"{name}: {_in_words(name, before[name])} -> {_in_words(name, after[name])}"
        for name in _CHOSEN
        if before[name] != after[name]
    ]
    say("; ".join(changes) if changes else "They have chosen that already; nothing was changed.")


def pause(
    address: AddressArgument,
    newsletter: NewsletterArgument,
    until: Annotated[
        str | None,
        typer.Option(help="First day they get it again, in their zone; without: until resumed."),
    ] = None,
    from_now: FromNowOption = False,
    catch_up: CatchUpOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Send somebody nothing of a newsletter for a while. Afterwards they are caught up.

    Example: `feedsvc subscribers pause li.lei@example.com daily --until 2026-12-24 --from-now`
    """
    day = _read_day(until)
    how = _read_resume(from_now, catch_up)

    async def change(session: "AsyncSession", subscription_id: int, now: datetime) -> None:
        from feedsvc.audience.choices import pause
        from feedsvc.audience.lookup import find_choices
        from feedsvc.audience.preferences import pause_ends_at
        from feedsvc.audience.zones import usable_zone
        from feedsvc.model.subscriber import Resume

        view = await find_choices(session, subscription_id)
        zone = usable_zone(view.zone, view.schedule.zone) if view else "UTC"
        ends_at = pause_ends_at(day, zone, now) if day else None
        await pause(session, subscription_id, ends_at, how or Resume.CATCH_UP, now, _OPERATOR)

    _, after = _change(address, newsletter, config, change)
    if as_json:
        print_json(after)
        return
    ends = say_time(after["paused_until"]) or "they are resumed"
    then = "what comes then" if after["resume"] == "now" else "what came meanwhile"
    say(f"Paused until {ends}; the next mail has {then}.")


def resume(
    address: AddressArgument,
    newsletter: NewsletterArgument,
    from_now: FromNowOption = False,
    catch_up: CatchUpOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Let somebody who paused go on, as was said when they paused or as you say now.

    Example: `feedsvc subscribers resume li.lei@example.com daily --catch-up`
    """
    how = _read_resume(from_now, catch_up)

    async def change(session: "AsyncSession", subscription_id: int, now: datetime) -> None:
        from feedsvc.audience.choices import resume

        await resume(session, subscription_id, now, _OPERATOR, how)

    before, after = _change(address, newsletter, config, change)
    if as_json:
        print_json(after)
    elif before["state"] == after["state"]:
        say("They had not paused; nothing was changed.")
    elif before["cursor"] == after["cursor"]:
        say(f"They go on from article {after['cursor']}, where they stood.")
    else:
        say(f"They go on from now: from article {before['cursor']} to {after['cursor']}.")


def _change(
    address: str, newsletter: str, config: Path | None, change: Change
) -> tuple[Standing, Standing]:
    """Do something to a subscription in one transaction; what was true before, and after."""
    from feedsvc.kit.addresses import parse_address

    parsed = parse_address(address)

    async def work(app: "App") -> tuple[Standing, Standing]:
        from feedsvc.audience.person import find_subscription_id
        from feedsvc.editions.registry import find_newsletter

        async with app.database.write() as session:
            await find_newsletter(session, newsletter)
            subscription_id = await find_subscription_id(session, parsed, newsletter)
            before = await _standing(session, parsed, newsletter)
            await change(session, subscription_id, app.clock())
            return before, await _standing(session, parsed, newsletter)

    return run_with_app(config, work)


async def _standing(session: "AsyncSession", address: "Address", newsletter: str) -> Standing:
    from dataclasses import asdict

    from feedsvc.audience.person import find_person

    person = await find_person(session, address, mails=0)
    (one,) = [one for one in person.subscriptions if one.newsletter == newsletter]
    shown = asdict(one)
    return {name: shown[name] for name in shown if name not in ("mails", "changes")}


def _read_day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"not a day: {text!r} (write for example 2026-12-24)", param_hint="--until"
        ) from None


def _read_resume(from_now: bool, catch_up: bool) -> "Resume | None":
    from feedsvc.model.subscriber import Resume

    if from_now and catch_up:
        raise typer.BadParameter("either --from-now or --catch-up")
    return Resume.NOW if from_now else Resume.CATCH_UP if catch_up else None


def _say_subscription(one: "ShownSubscription", newest: int) -> None:
    say("")
    state = one.state.value
    if one.state == "paused":
        ends = say_time(one.paused_until) or "resumed"
        state = f"paused until {ends}, then {one.resume.value.replace('_', ' ')}"
    say(f"{one.newsletter}: {state}")
    for name in _CHOSEN:
        say(f"  {name}: {_in_words(name, getattr(one, name))}")
    if one.cursor is not None:
        say(f"  settled up to article {one.cursor} of {newest}")
    if one.mails:
        say("  last mails:")
        print_table(
            ("edition", "kind", "articles", "state", "when", "reason"),
            [
                (
                    str(mail.edition_id),
                    mail.kind.value,
                    f"{mail.from_seq + 1}-{mail.cut_seq}" if mail.from_seq is not None else "",
                    mail.state.value,
                    say_time(mail.changed_at),
                    mail.reason or "",
                )
                for mail in one.mails
            ],
        )
    say("  changes:")
    for entry in one.changes:
        say(f"  {say_time(entry.at)}  {entry.what} by {entry.by}{_say_detail(entry.detail)}")


def _say_detail(detail: Mapping[str, Any]) -> str:
    """The log's before and after, and what else a person would ask for."""
    after = detail.get("after", {})
    said = [
        f"{name} {_in_words(name, old)} -> {_in_words(name, after.get(name))}"
        for name, old in detail.get("before", {}).items()
    ]
    if "to" in detail:
        said.append(f"from article {detail['from']} to {detail['to']}")
    if "how" in detail and "before" not in detail:
        said.append(f"by {detail['how']}")
    return f": {', '.join(said)}" if said else ""


def _in_words(name: str, value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(value) or "all"
    return str(value) if value else {"zone": "the schedule's"}.get(name, "none")
