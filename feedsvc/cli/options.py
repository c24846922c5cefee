"""Options that several commands take, and what they open."""

import os
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.config_file import LoadedSettings

Result = TypeVar("Result")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="The configuration file; by default $FEEDSVC_CONFIG, then ./config.toml.",
        show_default=False,
    ),
]
NewsletterArgument = Annotated[str, typer.Argument(help="Key of the newsletter.")]
#: No row has a larger id; asked for more, databases fail instead of finding nothing.
MAX_ID = 2**31 - 1
EditionArgument = Annotated[
    int, typer.Argument(max=MAX_ID, help="Id of the edition, as `feedsvc editions list` shows it.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def load(config: Path | None) -> "LoadedSettings":
    """Read the configuration. Raises ConfigError."""
    from feedsvc.cli.output import say_error
    from feedsvc.config_file import load_settings, shipped

    loaded = load_settings(config, os.environ, Path.cwd())
    if loaded.path == shipped("config.toml") and config is None:
        say_error(
            "there is no config.toml here: this uses the example that comes with feedsvc,"
            f" with data below {loaded.base}"
        )
    return loaded


def run_loop(work: "Coroutine[Any, Any, Result]") -> Result:
    """Run on uvloop where there is one: the same, at half the cost a message."""
    import asyncio

    try:
        from uvloop import new_event_loop
    except ImportError:  # it is not made for every system
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


def run_with_app(
    config: Path | None,
    work: "Callable[[App], Awaitable[Result]]",
    *,
    renders: bool = False,
) -> Result:
    """Open the application on its database, do the work, and close it again.

    Args:
        renders: the work makes mails; a broken template is told before it begins.
    """
    from feedsvc.cli.output import start_logging

    loaded = load(config)
    from feedsvc.app import App  # slow to import: a mistake in the configuration is told before

    start_logging(quiet=True)

    async def _run() -> Result:
        async with App.open(loaded, check_templates=renders) as app:
            return await work(app)

    return run_loop(_run())
