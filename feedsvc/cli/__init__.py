"""The command line: one file a command group. Deliberate errors become a sentence and a code.

Exit codes: 0 done, 1 could not be done, 2 the configuration or the call is wrong, 130 interrupted.
"""

import os
import sys

import typer

from feedsvc import __version__
from feedsvc.errors import ConfigError, FeedsvcError

app = typer.Typer(
    name="feedsvc",
    help="Feeds and e-mail digests from the articles you already have.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    add_completion=False,
)


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", help="Log more, and show faults in full."),
) -> None:
    from feedsvc.cli.output import set_debug

    set_debug(debug)


@app.command()
def version() -> None:
    """Print the version.

    Example: `feedsvc version`
    """
    typer.echo(__version__)


def _register() -> None:
    from feedsvc.cli import (
        announce,
        articles,
        check_config,
        correct,
        deliveries,
        demo,
        dkim,
        editions,
        explain,
        export,
        feeds,
        notes,
        rehearse,
        replay,
        schedules,
        send,
        sending,
        serve,
        subscribers,
        trial,
    )

    serve.register(app)
    demo.register(app)
    check_config.register(app)
    articles.register(app)
    feeds.register(app)
    export.register(app)
    schedules.register(app)
    rehearse.register(app)
    replay.register(app)
    explain.register(app)
    send.register(app)
    trial.register(app)
    announce.register(app)
    correct.register(app)
    editions.register(app)
    notes.register(app)
    sending.register(app)
    subscribers.register(app)
    deliveries.register(app)
    dkim.register(app)


_register()


def main() -> None:
    """Run the command line and end the process with its code."""
    # SECURITY: database, copies and mail in files hold addresses; they are the owner's alone.
    os.umask(0o077)
    from feedsvc.cli.output import is_debugging, say_error, take_any_text

    take_any_text()
    for word in sys.argv[1:]:
        if not _is_text(word) and not os.path.exists(word.rpartition("=")[2]):
            say_error(f"{word!r} is not written in UTF-8, the encoding that everything here has")
            sys.exit(2)
    try:
        app()
    except ConfigError as error:
        say_error(str(error), prefix=False)
        sys.exit(2)
    except FeedsvcError as error:
        say_error(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except Exception as error:
        if is_debugging():
            raise
        say_error(
            f"a fault of the program: {type(error).__name__}: {error}\n"
            "Nothing more was done. Run the command again with --debug to see where,"
            " for example: feedsvc --debug check-config"
        )
        sys.exit(1)


def _is_text(word: str) -> bool:
    """Whether an argument could be decoded; files may have names that cannot."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
