"""How commands speak: people on the terminal, one JSON object with --json, logs on stderr."""

import json
import logging
import sys
from typing import Any

import structlog
from rich.console import Console

_state = {"debug": False}

#: What people read; progress and tables.
console = Console(highlight=False)
_errors = Console(stderr=True, highlight=False)


def set_debug(debug: bool) -> None:
    """Show faults in full from now on."""
    _state["debug"] = debug


def is_debugging() -> bool:
    """Whether faults are shown in full."""
    return _state["debug"]


def say(text: str) -> None:
    """A line for a person."""
    console.print(text, markup=False, soft_wrap=True)


def say_error(text: str, prefix: bool = True) -> None:
    """What went wrong, on stderr."""
    _errors.print(f"feedsvc: {text}" if prefix else text, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON object for scripts: dates as ISO 8601, text as it is."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def start_logging(quiet: bool = False) -> None:
    """Log one line an event to stderr: `key=value`, times in UTC, no colours in files."""
    level = logging.DEBUG if is_debugging() else (logging.WARNING if quiet else logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(
                key_order=["timestamp", "level", "event"], drop_missing=True
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    # Their lines repeat what ours say, or tell of polling.
    for name in ("apscheduler", "pgqueuer", "uvicorn.access", "watchfiles"):
        logging.getLogger(name).setLevel(logging.ERROR)
