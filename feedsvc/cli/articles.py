"""`feedsvc ingest`, `publish` and `trace`: articles on their way to readers, by hand."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedsvc.cli.options import ConfigOption, JsonOption, run_with_app
from feedsvc.cli.output import print_json, say, say_error
from feedsvc.errors import NotFound, SourceUnavailable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from feedsvc.app import App
    from feedsvc.model.article import Article
    from feedsvc.pipeline import Ingested


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("ingest")(ingest)
    app.command("publish")(publish)
    app.command("trace")(trace)


def ingest(
    source: Annotated[
        str | None, typer.Argument(help="Key of one source; all of them by default.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Look at the sources once and take over what is new, changed or gone.

    Files that are no articles are named, and the others go in. Exit 1 if a source is unavailable.

    Example: `feedsvc ingest`
    """

    async def work(app: "App") -> "dict[str, Ingested | str]":
        if source is not None and source not in app.sources:
            names = ", ".join(app.sources) or "none is configured"
            raise NotFound(f"no source is named {source!r} (there are: {names})")
        seen: dict[str, Ingested | str] = {}
        for key in [source] if source else app.sources:
            try:
                seen[key] = await app.pipeline.ingest(key)
            except SourceUnavailable as error:
                seen[key] = str(error)
        return seen

    seen = run_with_app(config, work)
    if as_json:
        print_json({key: _facts(one) for key, one in seen.items()})
    else:
        for key, one in seen.items():
            _describe(key, one)
        if not seen:
            say("No source is configured: add [sources.NAME] to config.toml.")
    if any(isinstance(one, str) for one in seen.values()):
        raise typer.Exit(1)


def _facts(one: "Ingested | str") -> dict[str, Any]:
    from feedsvc.model.article import as_problem

    if isinstance(one, str):
        return {"error": one}
    return {**_counts(one), "problems": [str(as_problem(problem)) for problem in one.problems]}


def _counts(one: "Ingested") -> dict[str, int]:
    return {**asdict(one.stored), "unchanged": one.unchanged}


def _describe(key: str, one: "Ingested | str") -> None:
    from feedsvc.model.article import as_problem

    if isinstance(one, str):
        say_error(one)
        return
    counts = ", ".join(f"{count} {name}" for name, count in _counts(one).items() if count)
    say(f"{key}: {counts or 'nothing there yet'}")
    for problem in one.problems:
        say_error(str(as_problem(problem)), prefix=False)


def publish(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Publish articles whose time has come and renew the feeds that this changes.

    Example: `feedsvc publish`
    """

    async def work(app: "App") -> list[str]:
        changed = await app.pipeline.publish_now()
        await app.pipeline.prune()
        return [f"{app.settings.base_url}/{document.path}" for document in changed]

    changed = run_with_app(config, work)
    if as_json:
        print_json({"changed": changed})
        return
    for url in changed:
        say(f"renewed {url}")
    if not changed:
        say("Every feed is up to date.")


def trace(
    article: Annotated[
        str, typer.Argument(help="Its id, slug, guid, address, or file name in its source.")
    ],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show where an article has been: source, story, feeds, editions, deliveries by state.

    Example: `feedsvc trace old-street-library`
    """

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.articles.lookup import list_story_mates
        from feedsvc.editions.appearances import load_appearances
        from feedsvc.feeds.fragment_store import find_feeds

        async with app.database.read() as session:
            found = await _find_article(session, article, list(app.sources))
            appearances = await load_appearances(session, found.id or 0)
            feeds = await find_feeds(session, found.id or 0)
            mates = await list_story_mates(session, found)
        return {
            "article": found.model_dump(exclude={"content", "summary", "fingerprint"}),
            "same_story": [
                one.model_dump(include={"id", "guid", "source", "source_key", "title", "state"})
                for one in mates
            ],
            "feeds": feeds,
            "editions": [asdict(one) for one in appearances],
        }

    traced = run_with_app(config, work)
    if as_json:
        print_json(traced)
    else:
        _print_trace(traced)


async def _find_article(session: "AsyncSession", text: str, sources: list[str]) -> "Article":
    from feedsvc.articles.lookup import find_article, list_recent
    from feedsvc.articles.scans import load_problems
    from feedsvc.model.article import as_problem

    try:
        return await find_article(session, text)
    except NotFound as error:
        for source in sources:
            for problem in await load_problems(session, source):
                if f"/{problem.location}".endswith(f"/{text}"):
                    raise NotFound(f"not an article at present: {as_problem(problem)}") from error
        newest = [f"{one.id} {one.source_key}" for one in await list_recent(session, 5)]
        raise NotFound(f"{error} (the newest are: {', '.join(newest) or 'none yet'})") from error


def _print_trace(traced: dict[str, Any]) -> None:
    article = traced["article"]
    say(f"{article['title']}")
    say(f"  guid       {article['guid']}")
    say(f"  source     {article['source']}: {article['source_key']}")
    state = f"{article['state']}, revision {article['revision']}"
    say(f"  state      {state}" + (f", number {article['seq']}" if article["seq"] else ""))
    say(f"  published  {article['published_at']:%Y-%m-%d %H:%M} UTC")
    say(f"  announced  {'yes' if article['announce'] else 'no: it was there at the first scan'}")
    if article["weight"]:
        say(f"  weight     {article['weight']}")
    for one in traced["same_story"]:
        where = f"{one['source']}: {one['source_key']}"
        say(f"  same story {one['id']} {one['title']} ({where}, {one['state']})")
    if article["set_aside"]:
        say(f"  set aside  {article['set_aside']}")
    say(f"  feeds      {', '.join(traced['feeds']) or 'none'}")
    if not traced["editions"]:
        say("  editions   none yet")
    for one in traced["editions"]:
        schedule = one["schedule"] or "by hand"
        say(f"  edition {one['edition_id']}  {one['newsletter']} ({schedule}), {one['period']}")
        say(f"    {one['outcome']} at revision {one['revision']}; the edition is {one['state']}")
        counts = ", ".join(f"{count} {state}" for state, count in one["deliveries"].items())
        say(f"    deliveries: {counts or 'none'}")
