"""`feedsvc editions approve|skip|drop|undrop|order|intro|refresh`: what is done to a draft.

These change rows only. What is approved goes when it is due, while feedsvc serves.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedsvc.cli.editions_show import load_shown, say_due, say_edition
from feedsvc.cli.options import ConfigOption, EditionArgument, JsonOption, run_with_app
from feedsvc.cli.output import print_json, say

if TYPE_CHECKING:
    from feedsvc.app import App

#: Who has a command line is the operator.
_BY = "operator"
#: Bytes of a file that are looked at.
_MOST_BYTES = 1_000_000

ArticlesArgument = Annotated[
    list[str], typer.Argument(help="Their ids, slugs, guids or addresses.", metavar="ARTICLE…")
]
TextFileOption = Annotated[
    Path | None,
    typer.Option("--file", "-f", help='A file with the text in UTF-8; "-" is standard input.'),
]


def add_to(group: typer.Typer) -> None:
    """Add the commands to the group of editions."""
    for command in (approve, skip, drop, undrop, order, intro, refresh):
        group.command(command.__name__)(command)


def approve(
    edition: EditionArgument, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Let a draft go as it is now, when it is due; it cannot be changed any more.

    Example: `feedsvc editions approve 17`
    """

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.editions.review import approve as approve_draft

        async with app.database.write() as session:
            changed = await approve_draft(session, edition, _BY, app.clock())
        found = await load_shown(app, edition)
        due_at = min((one["due_at"] for one in found["waves"]), default=found["due_at"])
        return {**found, "changed": changed, "goes_at": due_at if due_at > app.clock() else None}

    found = run_with_app(config, work)
    if as_json:
        print_json(found)
        return
    was = "is approved" if found["changed"] else "was approved already"
    if found["state"] != "composing":
        say(f"Edition {edition} {was}: it is {found['state']}.")
    else:
        goes = f"on {say_due(found['goes_at'], found['zone'])}" if found["goes_at"] else "now"
        say(f"Edition {edition} {was}: it goes {goes}, while feedsvc serves.")


def skip(
    edition: EditionArgument,
    reason: Annotated[str | None, typer.Option(help="Why, for whoever looks at it later.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Send nothing of a draft; the articles of a digest come with the next edition.

    Example: `feedsvc editions skip 17`
    """

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.editions.review import skip_draft

        async with app.database.write() as session:
            changed = await skip_draft(session, edition, app.clock(), reason)
        return {**await load_shown(app, edition), "changed": changed}

    found = run_with_app(config, work)
    if as_json:
        print_json(found)
        return
    say(f"Edition {edition} {'is' if found['changed'] else 'was'} skipped: {found['reason']}")


def drop(
    edition: EditionArgument,
    article: ArticlesArgument,
    for_good: Annotated[
        bool,
        typer.Option("--for-good", help="Out of all later editions of the newsletter, too."),
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Leave articles out of a draft. Its readers do not get them later, either.

    Example: `feedsvc editions drop 17 night-market-trams`
    """

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.articles.lookup import find_article
        from feedsvc.editions.review import drop_article

        async with app.database.write() as session:
            for text in article:
                found = await find_article(session, text)
                await drop_article(
                    session, edition, found.id or 0, _BY, app.clock(), for_good=for_good
                )
        return await load_shown(app, edition)

    _answer(run_with_app(config, work), as_json)


def undrop(
    edition: EditionArgument,
    article: ArticlesArgument,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Have a draft hold articles again that were dropped, and later editions, too.

    Example: `feedsvc editions undrop 17 night-market-trams`
    """

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.articles.lookup import find_article
        from feedsvc.editions.review import undrop_article

        async with app.database.write() as session:
            for text in article:
                found = await find_article(session, text)
                await undrop_article(session, edition, found.id or 0)
        return await load_shown(app, edition)

    _answer(run_with_app(config, work), as_json)


def order(
    edition: EditionArgument,
    article: Annotated[
        list[str] | None,
        typer.Argument(
            help="Ids, slugs, guids or addresses; none: the usual order.", metavar="[ARTICLE…]"
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Have these articles of a draft come first, in this order; the others follow as usual.

    Example: `feedsvc editions order 17 night-market-trams rooftop-gardens`
    """

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.articles.lookup import find_article
        from feedsvc.editions.review import reorder

        async with app.database.write() as session:
            ids = [(await find_article(session, text)).id or 0 for text in article or []]
            await reorder(session, edition, ids)
        return await load_shown(app, edition)

    _answer(run_with_app(config, work), as_json)


def intro(
    edition: EditionArgument,
    text: Annotated[
        str | None, typer.Argument(help='Markdown; "" takes the intro away.', show_default=False)
    ] = None,
    file: TextFileOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Write what stands above the articles of a draft, in Markdown.

    Example: `feedsvc editions intro 17 "Dear readers, *this week* …"`
    """
    written = read_text(text, file)

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.editions.review import set_intro

        async with app.database.write() as session:
            await set_intro(session, edition, written)
        return await load_shown(app, edition)

    _answer(run_with_app(config, work), as_json)


def refresh(
    edition: EditionArgument, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Let a draft hold what has been published since it was made.

    Example: `feedsvc editions refresh 17`
    """

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.editions.review import refresh as refresh_draft

        async with app.database.write() as session:
            await refresh_draft(session, edition)
        return await load_shown(app, edition)

    _answer(run_with_app(config, work), as_json)


def read_text(text: str | None, file: Path | None) -> str:
    """A text from the command line, or from a file. Raises TextUnusable, typer.BadParameter."""
    from feedsvc.errors import TextUnusable

    if (text is None) == (file is None):
        raise typer.BadParameter("give either the text or --file")
    if file is None:
        return text or ""
    try:
        if str(file) == "-":
            content = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with file.open("rb") as stream:
                content = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise TextUnusable(f"{file}: is larger than {_MOST_BYTES} bytes")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise TextUnusable(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TextUnusable(f"{file}: is not written in UTF-8") from error


def _answer(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        say_edition(found)
