"""`feedsvc check-config`: is the configuration usable, and what does it say?"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from feedsvc.cli.options import ConfigOption, load
from feedsvc.cli.output import print_json, say

if TYPE_CHECKING:
    from feedsvc.config import Settings


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
    from feedsvc.app import check_feeds, check_themes
    from feedsvc.config_warnings import find_mismatches, find_missing
    from feedsvc.editions.calendar import next_due_times
    from feedsvc.kit.templating import Templates
    from feedsvc.messages.dkim import Signers

    loaded = load(config)
    settings = loaded.settings
    folder = settings.templates.folder
    templates = Templates(loaded.base / folder if folder else None)
    templates.check()
    check_themes(loaded, templates)
    check_feeds(loaded)
    Signers.load(settings.dkim, loaded.base)
    warnings = [*find_mismatches(loaded), *find_missing(loaded)]
    now = datetime.now(UTC)
    due = {
        f"{key}.{name}": [
            instant.astimezone(ZoneInfo(one.time_zone or settings.time_zone))
            for instant in next_due_times(one.cron, one.time_zone or settings.time_zone, now, 5)
        ]
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
    for key, times in due.items():
        say(f"  {key} is due next:")
        for at in times:
            say(f"    {at:%a %Y-%m-%d %H:%M} {at.tzinfo}")


def _relays(settings: "Settings") -> str:
    """Names and, where they say something else, types."""
    relays = settings.every_relay.items()
    return ", ".join(name if name == one.type else f"{name} ({one.type})" for name, one in relays)


def _names(configured: Mapping[str, object]) -> str:
    return ", ".join(sorted(configured)) or "none"
