"""`feedsvc check-config`: is the configuration usable, and what does it say?"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from feedsvc.cli.options import ConfigOption, load
from feedsvc.cli.output import print_json, say
from feedsvc.cli.schedules import find_next_times, say_next_times, say_settling

if TYPE_CHECKING:
    from feedsvc.config import Settings
    from feedsvc.config_file import LoadedSettings
    from feedsvc.config_newsletters import ScheduleSettings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check-config")(check_config)


def check_config(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check config.toml and the templates, and show when schedules come due next.

    Example: `feedsvc check-config --config config.toml`
    """
    from feedsvc.app import check_feeds, check_lines, check_themes
    from feedsvc.config_warnings import find_mismatches, find_missing
    from feedsvc.editions.calendar import Rhythm
    from feedsvc.kit.templating import Templates
    from feedsvc.messages.dkim import Signers

    loaded = load(config)
    settings = loaded.settings
    folder = settings.templates.folder
    templates = Templates(loaded.base / folder if folder else None)
    templates.check()
    check_themes(loaded, templates)
    check_feeds(loaded)
    check_lines(loaded, templates)
    Signers.load(settings.dkim, loaded.base)
    now = datetime.now(UTC)
    warnings = [*find_mismatches(loaded), *find_missing(loaded), *_find_idle(loaded, now)]
    due = {
        f"{key}.{name}": find_next_times(Rhythm.configured(one, settings.time_zone), now)
        for key, newsletter in settings.newsletters.items()
        for name, one in newsletter.schedules.items()
    }
    if as_json:
        print_json(
            {
                "config": str(loaded.path),
                "sources": sorted(settings.sources),
                "feeds": sorted(settings.feeds),
                "newsletters": sorted(settings.newsletters),
                "warnings": warnings,
                "next_due": {key: [at.isoformat() for at in times] for key, times in due.items()},
            }
        )
        return
    say(f"{loaded.path}: fine" if not warnings else f"{loaded.path}: can be used, but look at")
    for warning in warnings:
        say(f"  {warning}")
    say(f"  sources      {_names(settings.sources)}")
    say(f"  feeds        {_names(settings.feeds)}")
    say(f"  newsletters  {_names(settings.newsletters)}")
    say(f"  relay        {_relays(settings)}")
    for key, newsletter in settings.newsletters.items():
        for name, one in newsletter.schedules.items():
            _say_schedule(f"{key}.{name}", one, due[f"{key}.{name}"])


def _find_idle(loaded: "LoadedSettings", now: datetime) -> Iterator[str]:
    """Schedules that never come due, because all their days are quiet."""
    from feedsvc.editions.calendar import Rhythm

    for key, newsletter in loaded.settings.newsletters.items():
        for name, one in newsletter.schedules.items():
            days = Rhythm.configured(one, loaded.settings.time_zone).days
            if days.on_or_after(now.date()) is None:
                place = f"newsletters.{key}.schedules.{name}.quiet_days"
                line = loaded.line_of(place)
                yield f"{loaded.path.name}:{line}: {place}: they leave no day to come due"


def _say_schedule(name: str, one: "ScheduleSettings", times: Sequence[datetime]) -> None:
    if one.settle_minutes is not None:
        most = one.settle_max_minutes or 6 * one.settle_minutes
        say(f"  {name} goes for each article, {say_settling(one.settle_minutes, most)}")
    else:
        say(f"  {name} is due next:")
        for line in say_next_times(times):
            say(f"    {line}")
    if one.quiet_days:
        say(f"    not on {', '.join(one.quiet_days)}")


def _relays(settings: "Settings") -> str:
    """Names and, where they say something else, types."""
    relays = settings.every_relay.items()
    return ", ".join(name if name == one.type else f"{name} ({one.type})" for name, one in relays)


def _names(configured: Mapping[str, object]) -> str:
    return ", ".join(sorted(configured)) or "none"
