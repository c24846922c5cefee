"""`feedsvc schedules`: the rhythms people choose from, and when they come due next."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedsvc.cli.options import ConfigOption, JsonOption, run_with_app
from feedsvc.cli.output import print_json, say

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.editions.calendar import Rhythm
    from feedsvc.editions.schedules import ListedSchedule
    from feedsvc.model.newsletter import Schedule

_SHOWN = 5
#: What becomes of a period that was missed.
_CATCH_UP = {
    "late": "goes at once, with all that has come since",
    "merge": "is left out; its articles come with the next one",
    "drop": "is left out, and its articles with it",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("schedules")(schedules)


def schedules(
    newsletter: Annotated[
        str | None, typer.Argument(help="Key of the newsletter; all of them by default.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show each schedule: when it comes due next, who is on it, what becomes of a missed edition.

    Example: `feedsvc schedules daily`
    """

    async def work(app: "App") -> "tuple[list[ListedSchedule], datetime]":
        from feedsvc.editions.registry import find_newsletter
        from feedsvc.editions.schedules import list_schedules

        async with app.database.read() as session:
            row = await find_newsletter(session, newsletter) if newsletter else None
            only = row.newsletter.id if row else None
            return await list_schedules(session, only), app.clock()

    listed, now = run_with_app(config, work)
    if as_json:
        print_json({"schedules": [_facts(one, now) for one in listed]})
        return
    for one in listed:
        _print_schedule(one, now)


def find_next_times(rhythm: "Rhythm", after: datetime) -> list[datetime]:
    """Its next due times, in its zone; in the subscribers' zones local times without a zone."""
    from feedsvc.editions.calendar import next_due_times, next_local_periods
    from feedsvc.editions.wall_clock import find_zone

    if rhythm.own_zone:
        periods = next_local_periods(rhythm, rhythm.zone, after, _SHOWN)
        return [datetime.fromisoformat(one.period) for one in periods]
    zone = find_zone(rhythm.zone)
    return [at.astimezone(zone) for at in next_due_times(rhythm, after, _SHOWN)]


def say_next_times(times: Sequence[datetime]) -> Iterator[str]:
    """A line for each due time, with its weekday and the zone's offset; one if there is none."""
    if not times:
        yield "never: its quiet days leave no day"
    for at in times:
        offset = at.isoformat(timespec="minutes")[16:]
        where = f"{offset} {at.tzinfo}" if at.tzinfo else "in each subscriber's zone"
        yield f"{at:%a %Y-%m-%d %H:%M} {where}"


def say_settling(settle_minutes: float, settle_max_minutes: float) -> str:
    """When an edition for each article goes."""
    return (
        f"once there was no further article for {settle_minutes:g} min,"
        f" at most {settle_max_minutes:g} min after the first"
    )


def _print_schedule(one: "ListedSchedule", now: datetime) -> None:
    from feedsvc.editions.calendar import Rhythm

    schedule = one.schedule
    say(f"{one.newsletter}.{schedule.key}  {schedule.label}: {_words(schedule)}")
    if schedule.description:
        say(f"  {schedule.description}")
    paused = f", and {one.paused} who pause" if one.paused else ""
    say(f"  subscribers  {one.active}{paused}")
    if schedule.quiet_days:
        say(f"  quiet        {', '.join(schedule.quiet_days)}")
    if schedule.spread_minutes:
        say(f"  spread       mails leave within {schedule.spread_minutes:g} min")
    if schedule.is_each_article:
        say(f"  goes         {say_settling(schedule.settle_minutes, schedule.settle_max_minutes)}")
    missed = f"if more than {schedule.grace_minutes:g} min late"
    say(f"  catch-up     {schedule.catch_up.value}: {missed}, it {_CATCH_UP[schedule.catch_up]}")
    if not schedule.is_each_article:
        times = find_next_times(Rhythm.of(schedule), now)
        for number, line in enumerate(say_next_times(times)):
            say(f"  {'' if number else 'due next':<12} {line}")


def _facts(one: "ListedSchedule", now: datetime) -> dict[str, Any]:
    from feedsvc.editions.calendar import Rhythm

    schedule = one.schedule
    each = schedule.is_each_article
    return {
        "newsletter": one.newsletter,
        "schedule": schedule.key,
        "label": schedule.label,
        "description": schedule.description,
        "words": _words(schedule),
        "cron": schedule.cron or None,
        "settle_minutes": schedule.settle_minutes if each else None,
        "settle_max_minutes": schedule.settle_max_minutes if each else None,
        "zone": schedule.zone,
        "own_zone": schedule.own_zone,
        "quiet_days": schedule.quiet_days,
        "spread_minutes": schedule.spread_minutes,
        "catch_up": schedule.catch_up.value,
        "grace_minutes": schedule.grace_minutes,
        "subscribers": one.active,
        "paused": one.paused,
        "next_due": find_next_times(Rhythm.of(schedule), now),
    }


def _words(schedule: "Schedule") -> str:
    from feedsvc.kit.texts import Texts

    return Texts("en").schedule(schedule.cron, schedule.zone, own_zone=schedule.own_zone)
