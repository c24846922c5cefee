"""How commands speak: people on the terminal, one JSON object with --json, logs on stderr."""

import io
import json
import logging
import os
import sys
import traceback
from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

_state = {"debug": False}
#: Columns of a table that no terminal shows.
_WIDE = 1000

#: What people read; progress and tables.
console = Console(highlight=False)
_errors = Console(stderr=True, highlight=False)


def set_debug(debug: bool) -> None:
    """Show faults in full from now on."""
    _state["debug"] = debug


def is_debugging() -> bool:
    """Whether faults are shown in full."""
    return _state["debug"]


def take_any_text() -> None:
    """Make sure that every text can be read and written, whatever the terminal's locale knows.

    QUIRK: in the locales C and POSIX Python takes UTF-8 by itself (PEP 538, PEP 540), unless it is
    told not to. Then arguments, file names and output are ASCII, and no Chinese name gets through:
    the process begins anew in UTF-8 mode.
    """
    if sys.getfilesystemencoding() == "ascii" and sys.executable and not sys.flags.utf8_mode:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """A line for a person."""
    console.print(text, markup=False, soft_wrap=True)


def say_error(text: str, prefix: bool = True) -> None:
    """What went wrong, on stderr."""
    _errors.print(f"feedsvc: {text}" if prefix else text, markup=False, soft_wrap=True)


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[str] = ()
) -> None:
    """A table for a person; elsewhere than on a terminal one line a row, whatever its length.

    Args:
        numbers: headings of columns that are set to the right.
    """
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        is_number = heading in numbers
        table.add_column(heading, overflow="fold", justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    target = console if console.is_terminal else Console(width=_WIDE, highlight=False)
    target.print(table)


def say_time(at: datetime | None) -> str:
    """An instant with its zone; nothing for None."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at is not None else ""


def print_json(value: Any) -> None:
    """One JSON value for scripts: dates as ISO 8601, text as it is where the output is Unicode."""
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(value, ensure_ascii=ascii_only, indent=2, default=_json_text)
    sys.stdout.write(text + "\n")


def _json_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def start_logging(quiet: bool = False) -> None:
    """Log one line an event to stderr: `key=value`, times in UTC; faults in full with --debug."""
    import structlog

    level = logging.DEBUG if is_debugging() else (logging.WARNING if quiet else logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if is_debugging() else _name_fault,
            _drop_unset,
            structlog.processors.LogfmtRenderer(
                key_order=["timestamp", "level", "event"], drop_missing=True
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    if not is_debugging():
        handler.setFormatter(_OneLine("%(levelname)s:%(name)s:%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # Their lines repeat what ours say, or tell of polling.
    for name in ("pgqueuer", "uvicorn.access", "watchfiles"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # What goes wrong in a poke is logged where it is poked; at the end pokes are cut.
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)


class _OneLine(logging.Formatter):
    """Other people's records, with a fault named rather than shown."""

    def formatException(self, ei: Any) -> str:
        return f"fault={_describe(ei[1])!r}"


def _name_fault(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
    if error is not None:
        event["fault"] = _describe(error)
    return event


def _drop_unset(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in event.items() if value is not None}


def _describe(error: BaseException | None) -> str:
    """A fault and the place it happened at, on one line."""
    if error is None:
        return "unknown"
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{where}".replace("\n", " ")
