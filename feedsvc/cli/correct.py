"""`feedsvc correct` and `feedsvc articles had`: who got an article, and telling them more."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedsvc.cli.letters import (
    DraftOption,
    FileOption,
    Prospect,
    RehearseOption,
    YesOption,
    agree,
    look_ahead,
    question,
    read_letter_file,
    say_draft,
    say_not_sent,
    say_prospect,
)
from feedsvc.cli.options import ConfigOption, JsonOption, run_with_app
from feedsvc.cli.output import print_json, print_table, say, say_error

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.editions.had import EditionHad, PersonHad
    from feedsvc.model.newsletter import Newsletter

ArticleArgument = Annotated[
    str, typer.Argument(help="Its id, slug, guid, address, or file name in its source.")
]
OnlyOption = Annotated[
    str | None, typer.Option("--newsletter", "-n", help="Only subscribers of this newsletter.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("correct")(correct)
    group = typer.Typer(help="Look at articles.", no_args_is_help=True)
    group.command("had")(had)
    app.add_typer(group, name="articles")


def correct(
    article: ArticleArgument,
    file: FileOption,
    subject: Annotated[
        str | None, typer.Option(help="Its subject line; by default it names the article.")
    ] = None,
    newsletter: OnlyOption = None,
    draft: DraftOption = False,
    rehearse: RehearseOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Mail a correction to exactly those who were mailed an article, and are still subscribed.

    Also to those whose mail got no reply, since they may have it; not to those to whom it was
    only counted under "and n more". One edition for each newsletter that had it.

    Example: `feedsvc correct old-street-library --file note.md --rehearse`
    """
    body = read_letter_file(file)

    async def work(app: "App") -> dict[str, Any]:
        prospects, editions = await _look(app, article, body, subject, newsletter)
        found: dict[str, Any] = {
            "editions": [asdict(one) for one in editions],
            "corrections": [one.facts() for one in prospects],
        }
        if rehearse:
            mails = [one.shown() for one in prospects]
            return found | {"mails": mails, "prospects": prospects}
        if not draft:
            if not (yes or as_json):
                _say_prospects(prospects, found)
            asked = "; ".join(question(one) for one in prospects)
            if not agree(asked, yes=yes, as_json=as_json):
                return found | {"corrections": None}
        return found | {"corrections": await _make(app, prospects, draft=draft, silent=as_json)}

    found = run_with_app(config, work, renders=True)
    _say(found, as_json=as_json)


async def _look(
    app: "App", article: str, body: str, subject: str | None, newsletter: str | None
) -> "tuple[list[Prospect], list[EditionHad]]":
    """What would be sent, a newsletter at a time. Raises NotFound when nobody had the article."""
    from feedsvc.articles.lookup import find_article
    from feedsvc.editions.had import count_had
    from feedsvc.editions.registry import find_newsletter
    from feedsvc.editions.writing import SUBJECT_LENGTH, read_writing
    from feedsvc.errors import NotFound
    from feedsvc.kit.texts import Texts

    async with app.database.read() as session:
        found = await find_article(session, article)
        if newsletter is not None:
            await find_newsletter(session, newsletter)
        editions = await count_had(session, found.id or 0, newsletter)
        keys = dict.fromkeys(one.newsletter for one in editions)
        rows: list[Newsletter] = [(await find_newsletter(session, key)).newsletter for key in keys]
    prospects = []
    for row in rows:
        usual = Texts(row.language).gettext("Correction: %(title)s", title=found.title)
        named = subject or usual[:SUBJECT_LENGTH]
        prospect = await look_ahead(app, row, read_writing(named, body, article_id=found.id))
        if prospect.counts.total:
            prospects.append(prospect)
    if not prospects:
        raise NotFound(f"nobody who is still subscribed was mailed “{found.title}”")
    return prospects, editions


async def _make(
    app: "App", prospects: list[Prospect], *, draft: bool, silent: bool
) -> list[dict[str, Any]]:
    from feedsvc.cli.send import see_through
    from feedsvc.cli.send_view import open_view
    from feedsvc.editions.writing import make_letter

    made, now = [], app.clock()
    async with app.database.write() as session:
        for one in prospects:
            edition_id = await make_letter(
                session, one.newsletter.id or 0, one.writing, due_at=now, now=now, draft=draft
            )
            made.append(one.facts() | {"edition": edition_id})
    if not draft:
        with open_view(silent=silent) as view:
            for facts in made:
                facts["report"] = await see_through(app, facts["edition"], view)
    return made


def _say(found: dict[str, Any], *, as_json: bool) -> None:
    prospects, made = found.pop("prospects", None), found["corrections"]
    if as_json:
        print_json(found)
    elif prospects is not None:
        _say_prospects(prospects, found)
    elif made is None:
        say_not_sent()
    else:
        from feedsvc.cli.send import print_report

        for one in made:
            if "report" in one:
                print_report(one["report"])
            else:
                say_draft(one["edition"])
    reports = [one["report"] for one in made or () if one.get("report")]
    is_stuck = any(one["relay_problem"] or one["state"] == "paused" for one in reports)
    if made is None or is_stuck:
        raise typer.Exit(1)


def _say_prospects(prospects: list[Prospect], found: dict[str, Any]) -> None:
    for one in prospects:
        say_prospect(one)
    under_way = sum(one["under_way"] for one in found["editions"])
    if under_way:
        say_error(
            f"{under_way} more are about to be mailed the article: say it again afterwards",
            prefix=False,
        )


def had(
    article: ArticleArgument,
    newsletter: OnlyOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List who was mailed an article: by edition, and one by one, with their addresses.

    Example: `feedsvc articles had old-street-library --newsletter daily`
    """

    async def work(app: "App") -> "tuple[str, list[EditionHad], list[PersonHad]]":
        from feedsvc.articles.lookup import find_article
        from feedsvc.editions.had import count_had, load_had
        from feedsvc.editions.registry import find_newsletter

        async with app.database.read() as session:
            found = await find_article(session, article)
            if newsletter is not None:
                await find_newsletter(session, newsletter)
            editions = await count_had(session, found.id or 0, newsletter)
            return found.title, editions, await load_had(session, found.id or 0, newsletter)

    title, editions, people = run_with_app(config, work)
    if as_json:
        print_json(
            {"editions": [asdict(e) for e in editions], "subscribers": [asdict(p) for p in people]}
        )
        return
    say(f"{title}: mailed to {len(people)}" if people else f"{title}: mailed to nobody")
    for one in editions:
        doubt = f", {one.in_doubt} in doubt" if one.in_doubt else ""
        more = f", {one.under_way} about to get it" if one.under_way else ""
        say(f"  edition {one.edition_id} of {one.newsletter}: {one.sent} sent{doubt}{more}")
    if people:
        rows = [
            (str(one.subscriber_id), one.address, str(one.edition_id), one.state.value)
            for one in people
        ]
        print_table(("subscriber", "address", "edition", "state"), rows, numbers=("subscriber",))
