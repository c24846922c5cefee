"""A rehearsed edition's mails: cohort -> articles -> rendered mail -> what a person looks at."""

import asyncio
from collections.abc import Sequence

from feedsvc.db.engine import Database
from feedsvc.editions import composing
from feedsvc.editions.rehearsal import RehearsedCohort
from feedsvc.messages.digests import DigestRenderer
from feedsvc.model.edition import ItemOutcome
from feedsvc.pipeline.shown_mail import ShownMail, show_mail

#: Articles beyond a mail's limit that its page lists by their titles.
_MORE_LISTED = 200


async def render_rehearsed(
    database: Database, digests: DigestRenderer, cohorts: Sequence[RehearsedCohort]
) -> list[ShownMail]:
    """The mails of these cohorts as they would be.

    Raises:
        TemplateInvalid: a template of the newsletter's theme fails.
        MessageUnbuildable: a template writes a slot that there is not.
    """
    return [
        await _render(database, digests, cohort, number) for number, cohort in enumerate(cohorts, 1)
    ]


async def _render(
    database: Database, digests: DigestRenderer, cohort: RehearsedCohort, number: int
) -> ShownMail:
    plan, wave = cohort.plan, cohort.wave
    newsletter, schedule = wave.composing.newsletter, wave.composing.schedule
    beyond = composing.ids_of(plan.items, ItemOutcome.AND_MORE)
    async with database.read() as session:
        shown = composing.ids_of(plan.items, ItemOutcome.MAILED)
        articles = await composing.load_articles(session, shown)
        more = await composing.load_articles(session, beyond[:_MORE_LISTED])
    mail = await asyncio.to_thread(
        digests.render,
        newsletter,
        schedule,
        articles,
        language=plan.language,
        more=more,
        more_count=len(beyond),
        due_at=wave.due_at,
        day=wave.composing.day,
        intro=wave.composing.curation.intro,
        notes=wave.notes.get(plan.language, ()),
    )
    name = f"{newsletter.key}-{schedule.key if schedule else 'all'}-{number}-{plan.language}"
    return show_mail(name, mail.subject, mail.html, mail.text, mail.page)
