"""`feedsvc export`: the documents of all feeds as files, for a web server."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from feedsvc.cli.options import ConfigOption, JsonOption, run_with_app
from feedsvc.cli.output import print_json, say, say_error
from feedsvc.errors import ConfigError

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.feeds.documents.export import ExportOutcome


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Where to; by default `export.folder` of the configuration.", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Write all feed documents and archive pages as files, each with compressed twins.

    Those of feeds that are gone are removed, and nothing else. Files that are right already stay
    untouched. Exit 1 if something stands in the way.

    Example: `feedsvc export /var/www/feeds.example.com`
    """

    async def work(app: "App") -> "tuple[Path, ExportOutcome]":
        configured = app.settings.export.folder
        if folder is None and configured is None:
            raise ConfigError(
                "feedsvc: name a folder, for example: feedsvc export public"
                " (or set export.folder in config.toml)"
            )
        target = folder.absolute() if folder else app.loaded.base / (configured or "")
        return target, await app.pipeline.export(target)

    target, outcome = run_with_app(config, work)
    if as_json:
        print_json({"folder": str(target), **asdict(outcome)})
        return
    say(
        f"{target}: {outcome.written} written, {outcome.unchanged} unchanged,"
        f" {outcome.removed} removed"
    )
    for path in outcome.left:
        say_error(f"{target / path} is newer than what is published, and was left alone")
