"""`feedsvc explain`: why somebody got an article, or did not."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedsvc.cli.options import ConfigOption, JsonOption, run_with_app
from feedsvc.cli.output import print_json, say, say_time

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.editions.why import Explanation
    from feedsvc.editions.why.facts import Facts, Look


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain)


def explain(
    subscriber: Annotated[str, typer.Argument(help="Their e-mail address, or id.")],
    article: Annotated[
        str,
        typer.Argument(help="Its id, slug, guid, address, file name, or a part of its title."),
    ],
    newsletter: Annotated[
        str | None, typer.Option("--newsletter", "-n", help="Only this newsletter.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Say why somebody got an article, or did not, for each newsletter they have or had.

    Answers from what is stored alone, and changes nothing.

    Example: `feedsvc explain li.lei@example.com old-street-library`
    """

    async def work(app: "App") -> "list[tuple[Facts, Explanation]]":
        from feedsvc.articles.lookup import find_titled_article
        from feedsvc.audience.lookup import find_subscriber
        from feedsvc.editions.explain import load_facts
        from feedsvc.editions.why import explain as decide

        async with app.database.read() as session:
            person = await find_subscriber(session, subscriber)
            found = await find_titled_article(session, article)
            facts = await load_facts(session, found, person, app.clock(), newsletter)
        return [(one, decide(one)) for one in facts]

    answers = run_with_app(config, work)
    asked = answers[0][0].article
    if as_json:
        print_json(
            {
                "subscriber": answers[0][0].reader.subscriber_id,
                "article": asdict(asked),
                "answers": [_facts(facts, answer) for facts, answer in answers],
            }
        )
        return
    say(f"article {asked.id}, {asked.title}")
    for facts, answer in answers:
        say(f"{facts.reader.newsletter}: {answer.sentence}")
        for line in _behind(facts):
            say(f"  {line}")


def _facts(facts: "Facts", answer: "Explanation") -> dict[str, Any]:
    behind = asdict(facts)
    del behind["article"]
    return {"newsletter": facts.reader.newsletter, **asdict(answer), "facts": behind}


def _behind(facts: "Facts") -> list[str]:
    """What the answer rests on."""
    article, reader = facts.article, facts.reader
    number = f"number {article.seq}" if article.seq is not None else "no number"
    topics = ", ".join(article.topics) or "none"
    chosen = ", ".join(reader.topics) or "all"
    zone = reader.zone
    return [
        f"article     {article.state}, {number}, of {say_time(article.published_at)},"
        f" topics: {topics}",
        f"subscriber  {reader.state}, schedule {reader.schedule} ({zone}), topics: {chosen};"
        f" has everything up to number {reader.cursor if reader.cursor is not None else 'none'}",
        *(f"edition {look.edition_id:<4}{_describe(look)}" for look in facts.looks),
    ]


def _describe(look: "Look") -> str:
    came = look.mail.state if look.mail else look.group or "no mail"
    item = f", the article: {look.outcome}" if look.outcome else ""
    return f"{look.kind}, {look.state}, due {say_time(look.due_at)}; mail: {came}{item}"
