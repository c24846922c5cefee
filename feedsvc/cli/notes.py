"""`feedsvc notes add|list|remove`: a few words above the articles of a newsletter, for a while."""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from feedsvc.cli.editions_review import read_text
from feedsvc.cli.options import MAX_ID, ConfigOption, JsonOption, NewsletterArgument, run_with_app
from feedsvc.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.model.newsletter import PinnedNote

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,3}")
_WHEN = "a day (2026-12-24), or a time (2026-12-24T08:00), in the service's time zone"
#: Characters of a note in a table.
_SHOWN = 60


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        help="Pin a few words above the articles of a newsletter.", no_args_is_help=True
    )
    group.command("add")(add)
    group.command("list")(list_)
    group.command("remove")(remove)
    app.add_typer(group, name="notes")


@dataclass(frozen=True, slots=True)
class _Wanted:
    text: str
    begins: str | None
    ends: str | None
    language: str | None


def add(
    newsletter: NewsletterArgument,
    text: Annotated[str | None, typer.Argument(help="The note, in Markdown.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help='A file with the note in UTF-8; "-" is standard input.'),
    ] = None,
    begins: Annotated[
        str | None,
        typer.Option("--from", help=f"First edition: {_WHEN}; now by default.", metavar="WHEN"),
    ] = None,
    ends: Annotated[
        str | None,
        typer.Option(
            "--until", help=f"Last edition: {_WHEN}; until removed by default.", metavar="WHEN"
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Only in mails in this language, such as zh.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Pin a note. It stands above the articles of all editions that are due in its time.

    Example: `feedsvc notes add daily "We rest *until 8 October*." --until 2026-10-07`
    """
    from feedsvc.kit.texts import LANGUAGES
    from feedsvc.model.language import language_tag

    if language is not None and not _LANGUAGE.fullmatch(language):
        raise typer.BadParameter("a language is written like zh or en-GB")
    if language is not None and language_tag(language).partition("-")[0] not in LANGUAGES:
        raise typer.BadParameter(f"mails are written in: {', '.join(LANGUAGES)}")
    wanted = _Wanted(read_text(text, file), begins, ends, language)

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.editions.notes import add_note
        from feedsvc.editions.registry import find_newsletter

        zone, now = ZoneInfo(app.settings.time_zone), app.clock()
        starts_at = _read_time(wanted.begins, zone, ends=False) or now
        ends_at = _read_time(wanted.ends, zone, ends=True)
        async with app.database.write() as session:
            row = await find_newsletter(session, newsletter)
            note = await add_note(
                session,
                row.newsletter.id or 0,
                wanted.text,
                starts_at=starts_at,
                ends_at=ends_at,
                language=wanted.language,
                by="operator",
                now=now,
            )
            return _facts(note, newsletter, zone)

    added = run_with_app(config, work)
    if as_json:
        print_json(added)
        return
    language_too = f", in mails in {added['language']}" if added["language"] else ""
    say(f"Note {added['id']} stands in editions of {newsletter} {_say_span(added)}{language_too}.")


def list_(
    newsletter: Annotated[
        str | None, typer.Option("--newsletter", "-n", help="Only this newsletter.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List the notes, those to come and those that are over, too.

    Example: `feedsvc notes list --newsletter daily`
    """

    async def work(app: "App") -> list[dict[str, Any]]:
        from feedsvc.editions.notes import list_notes
        from feedsvc.editions.registry import find_newsletter

        zone, now = ZoneInfo(app.settings.time_zone), app.clock()
        async with app.database.read() as session:
            if newsletter is not None:
                await find_newsletter(session, newsletter)
            notes = await list_notes(session, newsletter)
        return [{**_facts(note, key, zone), "stands": _standing(note, now)} for note, key in notes]

    found = run_with_app(config, work)
    if as_json:
        print_json({"notes": found})
        return
    if not found:
        say("No note is pinned. Pin one with: feedsvc notes add NEWSLETTER TEXT")
        return
    rows = [
        (
            str(one["id"]),
            one["newsletter"],
            one["language"] or "all",
            one["stands"],
            _say_span(one),
            _shortened(one["text"]),
        )
        for one in found
    ]
    print_table(
        ("id", "newsletter", "language", "stands", "in editions", "note"), rows, numbers=("id",)
    )


def remove(
    note: Annotated[
        int, typer.Argument(max=MAX_ID, help="Its id, as `feedsvc notes list` shows it.")
    ],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Take a note away; editions composed from now on do not have it.

    Example: `feedsvc notes remove 3`
    """

    async def work(app: "App") -> None:
        from feedsvc.editions.notes import remove_note

        async with app.database.write() as session:
            await remove_note(session, note)

    run_with_app(config, work)
    if as_json:
        print_json({"removed": note})
    else:
        say(f"Note {note} is removed.")


def _read_time(text: str | None, zone: ZoneInfo, *, ends: bool) -> datetime | None:
    """A day or a time; as an end, a day is over at its last moment. Raises TextUnusable."""
    from feedsvc.errors import TextUnusable

    if text is None:
        return None
    try:
        with suppress(ValueError):
            day = date.fromisoformat(text.strip()) + timedelta(days=1 if ends else 0)
            text = day.isoformat()
        at = datetime.fromisoformat(text.strip())
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise TextUnusable(f"{text!r} is not {_WHEN}") from error


def _facts(note: "PinnedNote", newsletter: str, zone: ZoneInfo) -> dict[str, Any]:
    return {
        "id": note.id,
        "newsletter": newsletter,
        "language": note.language,
        "starts_at": note.starts_at.astimezone(zone),
        "ends_at": note.ends_at.astimezone(zone) if note.ends_at else None,
        "text": note.text,
        "created_by": note.created_by,
    }


def _standing(note: "PinnedNote", now: datetime) -> str:
    if note.starts_at > now:
        return "to come"
    return "over" if note.ends_at is not None and note.ends_at <= now else "now"


def _say_span(one: dict[str, Any]) -> str:
    until = f"before {_say(one['ends_at'])}" if one["ends_at"] else "until it is removed"
    return f"from {_say(one['starts_at'])} {until}"


def _say(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} {at.tzinfo}"


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
