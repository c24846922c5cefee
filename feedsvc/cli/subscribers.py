"""`feedsvc subscribers …`: who gets the newsletters."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedsvc.cli import subscriptions
from feedsvc.cli.options import MAX_ID, ConfigOption, JsonOption, run_with_app
from feedsvc.cli.output import console, print_json, say

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from feedsvc.app import App
    from feedsvc.audience.lookup import ListedSubscription
    from feedsvc.kit.addresses import Address
    from feedsvc.model.newsletter import Newsletter, Schedule

#: Recorded as evidence when the operator vouches for a consent.
_VOUCHED = "The operator states that this person agreed to receive the newsletter."

_LONGEST_NAME = 200
#: Columns of a table that no terminal shows.
_WIDE = 1000


_ANSWERS = {
    "ask": "They are asked to confirm by mail; it goes out while feedsvc serves.",
    "subscribed": "They are subscribed already; nothing was changed.",
    "asked_lately": "They were asked to confirm lately and are not asked again: at most once a day"
    " and three times a week. Nothing was changed.",
    "unreachable": "Their address is dead, or they called a mail spam. Nothing is sent to it.",
    "not_open": "The newsletter or its schedule is not in the configuration any more.",
}


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Who gets what, when, and their choices.", no_args_is_help=True)
    group.command("add")(add)
    group.command("list")(list_)
    subscriptions.add_to(group)
    app.add_typer(group, name="subscribers")


def add(
    address: Annotated[str, typer.Argument(help="Their e-mail address.")],
    newsletter: Annotated[str, typer.Option("--newsletter", "-n", help="Key of the newsletter.")],
    schedule: Annotated[
        str | None,
        typer.Option("--schedule", "-s", help="Key of the schedule; the first one by default."),
    ] = None,
    name: Annotated[str, typer.Option(help="What they call themselves.")] = "",
    language: Annotated[
        str | None, typer.Option(help="Language of their mails; the newsletter's by default.")
    ] = None,
    topic: Annotated[
        list[str] | None, typer.Option(help="Only articles with this topic; may be repeated.")
    ] = None,
    zone: Annotated[
        str | None, typer.Option(help="Their time zone, such as Asia/Shanghai.")
    ] = None,
    confirmed: Annotated[
        bool,
        typer.Option(
            "--confirmed",
            help="You state that they agreed: no confirmation mail is sent, and it is recorded.",
        ),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Subscribe somebody. They are asked to confirm by mail, unless you vouch for them.

    Example: `feedsvc subscribers add li.lei@example.com --newsletter daily --name 李雷`
    """
    from feedsvc.audience.preferences import is_plain, read_language
    from feedsvc.errors import InvalidAddress
    from feedsvc.kit.addresses import parse_address

    parsed = parse_address(address)
    if parsed.smtputf8:
        raise InvalidAddress("letters beyond ASCII before the @ cannot be mailed to yet")
    if len(name) > _LONGEST_NAME or not is_plain(name):
        raise typer.BadParameter(f"a name is one line of at most {_LONGEST_NAME} characters")
    language = read_language(language) if language else None

    wanted = _Wanted(
        parsed, newsletter, schedule, name, language, zone, tuple(topic or ()), confirmed
    )
    say(run_with_app(config, partial(_subscribe, wanted=wanted)))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What `add` was asked for; None is the newsletter's own."""

    address: "Address"
    newsletter: str
    schedule: str | None
    name: str
    language: str | None
    zone: str | None
    topics: tuple[str, ...]
    confirmed: bool


async def _subscribe(app: "App", wanted: _Wanted) -> str:
    """Do it, and say what came of it."""
    from feedsvc.audience.lookup import find_state
    from feedsvc.audience.subscriptions import add_confirmed, request_subscription
    from feedsvc.model.subscriber import SubscriptionState

    now = app.clock()
    async with app.database.write() as session:
        newsletter, schedule = await _choose(app, session, wanted)
        about: dict[str, Any] = {
            "newsletter": newsletter,
            "schedule": schedule,
            "address": wanted.address,
            "name": wanted.name,
            "language": wanted.language or newsletter.language,
            "zone": wanted.zone,
            "topics": wanted.topics,
            "now": now,
        }
        if not wanted.confirmed:
            lasts = timedelta(hours=app.settings.sending.notice_expires_hours)
            verdict = await request_subscription(
                session,
                **about,
                how="command line",
                consent_text="",
                notice_expires_at=now + lasts,
            )
            return _ANSWERS[verdict.value]
        before = await find_state(session, wanted.address, newsletter.key)
        subscription = await add_confirmed(session, **about, consent_text=_VOUCHED)
    if subscription.state is SubscriptionState.UNSUBSCRIBED:
        return "They have unsubscribed; only their own confirmation brings them back."
    if before is SubscriptionState.ACTIVE:
        return _ANSWERS["subscribed"]
    if before is SubscriptionState.PAUSED:
        resume = f"feedsvc subscribers resume {wanted.address.wire} {newsletter.key}"
        return f"They are subscribed, and pause; nothing was changed. Let them go on: {resume}"
    return (
        f"Subscribed to {newsletter.key}, {schedule.key}. Articles published from now on are"
        " theirs."
    )


async def _choose(
    app: "App", session: "AsyncSession", wanted: _Wanted
) -> "tuple[Newsletter, Schedule]":
    """The newsletter and schedule that were named; the configuration's first by default."""
    from feedsvc.editions.registry import find_newsletter
    from feedsvc.errors import NotFound

    row = await find_newsletter(session, wanted.newsletter)
    first = next(iter(app.settings.newsletters[wanted.newsletter].schedules))
    for schedule in row.schedules:
        if schedule.key == (wanted.schedule or first):
            return row.newsletter, schedule
    names = ", ".join(one.key for one in row.schedules)
    raise NotFound(f"{wanted.newsletter} has no schedule {wanted.schedule!r} (there are: {names})")


def list_(
    newsletter: Annotated[
        str | None, typer.Option("--newsletter", "-n", help="Only this newsletter.")
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="Only pending, active, paused or unsubscribed.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 100,
    after: Annotated[
        int, typer.Option(max=MAX_ID, help="Continue after this subscription id.")
    ] = 0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List subscriptions with their addresses, oldest first.

    Example: `feedsvc subscribers list --newsletter daily --state active --json`
    """

    from dataclasses import asdict

    from feedsvc.model.subscriber import SubscriptionState

    try:
        wanted = SubscriptionState(state) if state else None
    except ValueError:
        raise typer.BadParameter(
            f"{state!r} is none of: {', '.join(SubscriptionState)}", param_hint="--state"
        ) from None

    async def work(app: "App") -> "tuple[list[ListedSubscription], dict[str, int]]":
        from feedsvc.audience.lookup import count_by_state, list_subscriptions
        from feedsvc.editions.registry import find_newsletter

        async with app.database.read() as session:
            if newsletter is not None:
                await find_newsletter(session, newsletter)
            rows = await list_subscriptions(session, newsletter, wanted, limit, after)
            counts = await count_by_state(session, newsletter)
        return list(rows), {one.value: count for one, count in counts.items()}

    rows, counts = run_with_app(config, work)
    if as_json:
        print_json({"counts": counts, "subscriptions": [asdict(row) for row in rows]})
        return
    if not rows:
        say("Nobody yet. Add somebody with: feedsvc subscribers add ADDRESS --newsletter KEY")
        return
    _print_table(rows)
    say(", ".join(f"{count} {one}" for one, count in counts.items() if count))
    if len(rows) == limit:
        say(f"There may be more: --after {rows[-1].id}")


def _print_table(rows: "list[ListedSubscription]") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("id", "address", "name", "newsletter", "schedule", "state", "confirmed"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(
            str(row.id),
            escape(row.address),
            escape(row.name),
            row.newsletter,
            row.schedule,
            row.state.value
            if row.address_state == "good"
            else f"{row.state} ({row.address_state})",
            f"{row.confirmed_at:%Y-%m-%d %H:%M} UTC" if row.confirmed_at else "",
        )
    if console.is_terminal:
        console.print(table)
    else:  # one line a subscription, whatever its length: scripts read it
        Console(width=_WIDE, highlight=False).print(table)
