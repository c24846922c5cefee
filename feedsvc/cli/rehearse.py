"""`feedsvc rehearse`: what an edition would be."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedsvc.cli.mail_files import OutputOption, ShowOption, print_mail, write_mails
from feedsvc.cli.options import ConfigOption, JsonOption, NewsletterArgument, run_with_app
from feedsvc.cli.output import print_json, say

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.editions.rehearsal import Rehearsal, RehearsedArticle, RehearsedCohort
    from feedsvc.pipeline.shown_mail import ShownMail


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rehearse")(rehearse)


def rehearse(
    newsletter: NewsletterArgument,
    schedule: Annotated[
        str | None, typer.Option("--schedule", "-s", help="Only this schedule.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            help='As if it came due then, such as "2026-12-01 08:00": in the zone of the schedule,'
            " or of each subscriber."
        ),
    ] = None,
    show: ShowOption = None,
    output: OutputOption = None,
    language: Annotated[
        str | None, typer.Option(help="Show the mail of a reader with this language.")
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(help="Show the mail of a reader who chose this topic; may be repeated."),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what each schedule mails when it comes due next: to whom, and why not to others.

    Articles that are scheduled for publication before then are counted, and readers whose pause
    is over by then. Sends nothing and changes nothing.

    Example: `feedsvc rehearse daily --at "2026-12-01 08:00" --show text`
    """
    wanted = _Wanted(
        newsletter,
        schedule,
        _read_moment(at),
        show is not None or output is not None,
        _read_language(language),
        tuple(topic or ()),
    )
    if not wanted.mails and (language or topic):
        raise typer.BadParameter("--language and --topic choose a mail for --show or --output")
    rehearsals, mails = run_with_app(config, wanted.work, renders=wanted.mails)
    if output is not None:
        write_mails(mails, output)
    if show is not None:
        print_mail(mails, show)
    elif as_json:
        print_json([_facts(one) for one in rehearsals])
    else:
        for one in rehearsals:
            _say_rehearsal(one, wanted.at)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be rehearsed, and shown."""

    newsletter: str
    schedule: str | None
    at: datetime | None
    mails: bool
    language: str | None
    topics: tuple[str, ...]

    async def work(self, app: "App") -> "tuple[list[Rehearsal], list[ShownMail]]":
        from feedsvc.editions import rehearse as rehearsing
        from feedsvc.editions.registry import find_newsletter
        from feedsvc.messages.digests import DigestRenderer
        from feedsvc.pipeline.rehearsal import render_rehearsed

        async with app.database.read() as session:
            row = await find_newsletter(session, self.newsletter)
            rehearsals = await rehearsing.rehearse(
                session, row, app.clock(), schedule=self.schedule, at=self.at
            )
        if not self.mails:
            return rehearsals, []
        settings = app.settings
        digests = DigestRenderer(
            app.templates, settings.base_url, settings.title, settings.time_zone
        )
        return rehearsals, await render_rehearsed(app.database, digests, self._choose(rehearsals))

    def _choose(self, rehearsals: "list[Rehearsal]") -> "list[RehearsedCohort]":
        from feedsvc.editions.rehearse import choose_cohort

        if self.language or self.topics:
            most = max(rehearsals, key=lambda one: one.readers)
            return [choose_cohort(most, self.language, self.topics)]
        cohorts = [cohort for one in rehearsals for cohort in one.cohorts]
        return sorted(cohorts, key=lambda one: -one.readers)


def _read_moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text.strip()) if text is not None else None
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no moment; write one like 2026-12-01 08:00", param_hint="--at"
        ) from None


def _read_language(text: str | None) -> str | None:
    from feedsvc.kit.texts import LANGUAGES, negotiate

    if text is not None and text.replace("_", "-").split("-")[0].lower() not in LANGUAGES:
        raise typer.BadParameter(f"mails are written in: {', '.join(LANGUAGES)}")
    return negotiate([text]) if text is not None else None


def _facts(one: "Rehearsal") -> dict[str, Any]:
    return {
        "newsletter": one.newsletter,
        "schedule": one.schedule,
        "next_due_at": one.next_due_at,
        "edition": one.edition_id,
        "edition_state": one.edition_state,
        "before": one.before,
        "cut_seq": one.cut_seq,
        "readers": one.readers,
        "waves": [
            {
                "zone": wave.zone,
                "due_at": wave.due_at,
                "cut_seq": wave.composing.wave.cut_seq,
                "readers": wave.readers,
                "left_out": wave.left_out,
            }
            for wave in one.waves
        ],
        "cohorts": [
            {
                "language": cohort.plan.language,
                "readers": cohort.readers,
                "articles": [
                    {"id": item.article_id, "outcome": item.outcome} for item in cohort.plan.items
                ],
            }
            for cohort in one.cohorts
        ],
        "articles": [
            {**asdict(article), "mailed_to": _mailed(article)} for article in one.articles
        ],
        "left_out": one.left_out,
    }


def _say_rehearsal(one: "Rehearsal", at: datetime | None) -> None:
    say(f"{one.newsletter}, {one.schedule} ({one.label}): {_when(one)}")
    if at is not None:
        before = f", though {one.before} editions come due before" if one.before else ""
        say(f"  as if it came due {_moment(one, at)}{before}")
    if one.edition_id is not None:
        say(f"  edition {one.edition_id} is there already: {one.edition_state}")
    count = len(one.cohorts)
    mails = "1 mail" if count == 1 else f"{count} different mails"
    readers = "1 subscriber" if one.readers == 1 else f"{one.readers} subscribers"
    say(f"  would go to {readers}" + (f" as {mails}" if count else ""))
    if one.own_zone:
        for wave in one.waves:
            if wave.readers or wave.left_out:
                say(f"    {_time(wave.due_at, wave.zone)}: {wave.readers}")
    for article in one.articles:
        say(
            f"    {_time(article.published_at, one.zone, '%Y-%m-%d %H:%M', zone=False)}  "
            f"{article.title}  ({', '.join(_fates(article))})"
        )
    for cohort in one.cohorts if count > 1 else ():
        shown = sum(item.outcome == "mailed" for item in cohort.plan.items)
        articles = "1 article" if shown == 1 else f"{shown} articles"
        say(f"  to {cohort.readers}, {cohort.plan.language}: {articles}")
    for reason, number in sorted(one.left_out.items()):
        say(f"  not to {number}: {reason}")


def _when(one: "Rehearsal") -> str:
    if one.next_due_at is not None:
        zone = one.waves[0].zone if one.own_zone and one.waves else one.zone
        where = ", and in other zones at their own hour" if one.own_zone else ""
        return f"next due {_time(one.next_due_at, zone)}{where}"
    return "not due until there is an article" if _follows(one) else "never due"


def _follows(one: "Rehearsal") -> bool:
    return any(
        wave.composing.schedule is not None and wave.composing.schedule.is_each_article
        for wave in one.waves
    )


def _moment(one: "Rehearsal", at: datetime) -> str:
    if one.own_zone and at.tzinfo is None:
        return f"{at:%a %Y-%m-%d %H:%M} in each zone"
    return _time(one.waves[0].due_at, one.zone) if one.waves else f"{at:%a %Y-%m-%d %H:%M}"


def _fates(article: "RehearsedArticle") -> Iterator[str]:
    words = {
        "mailed": "to",
        "and_more": "counted for",
        "carried": "carried over for",
        "duplicate": "told before to",
        "dropped": "dropped for",
        "withdrawn": "withdrawn for",
    }
    for outcome, word in words.items():
        if readers := article.outcomes.get(outcome):
            yield f"{word} {readers}"
    if article.scheduled:
        yield "published by then"


def _mailed(article: "RehearsedArticle") -> int:
    return article.outcomes.get("mailed", 0)


def _time(at: datetime, zone_name: str, form: str = "%a %Y-%m-%d %H:%M", zone: bool = True) -> str:
    from feedsvc.editions.wall_clock import find_zone

    known = find_zone(zone_name)
    return f"{at.astimezone(known):{form}}" + (f" {known}" if zone else "")
