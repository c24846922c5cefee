"""The walk of mails that are no regular digests, and of those that change on their way.

    letter -> recipients -> deliveries
    article withdrawn -> cohorts that show it -> the same mails without it, or none
    newcomer -> the newest articles -> delivery

Ordering only.
"""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta

import structlog

from feedsvc.editions import composing, letters, welcome, withdrawals
from feedsvc.editions.cohort_store import RenderedCohort, find_cohorts, store_cohort
from feedsvc.editions.cohorts import CohortPlan
from feedsvc.editions.control import pause_edition
from feedsvc.editions.letters import LetterPlan
from feedsvc.editions.notes import load_notes
from feedsvc.editions.welcome import Newcomers
from feedsvc.editions.withdrawals import AffectedEdition, Moved
from feedsvc.editions.without import Affected, plan_without
from feedsvc.errors import DatabaseUnavailable
from feedsvc.messages.render import RenderedMail
from feedsvc.model.edition import Curation, EditionKind, EditionState, ItemOutcome
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.pipeline.parts import Parts

log = structlog.get_logger(__name__)

#: Looks for recipients who came while a letter was composed.
_PASSES = 20
#: Articles beyond a mail's limit that its page lists by their titles.
_MORE_LISTED = 200
#: While mails with a withdrawn article are on their way, it is looked so often whether some came
#: back unsent: each look is at every mail of the edition that waits.
_WITHDRAWAL_REST = timedelta(seconds=10)
#: How long a newsletter whose welcome cannot be made is left alone.
_FAULT_REST = timedelta(seconds=30)


class Letters:
    """Composes letters, greets newcomers, and takes withdrawn articles out of waiting mails."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._greeting = self._withdrawing = False
        #: Something was withdrawn since it was last looked.
        self._is_asked = False
        #: Until when it is not looked, unless something was.
        self._rests_until: datetime | None = None
        #: Newsletter whose welcome could not be made -> until when it is left alone.
        self._ungreeted: dict[int, datetime] = {}

    # -- letter -> recipients -> deliveries ------------------------------------------------------

    async def compose(self, edition_id: int) -> EditionState | None:
        """Write a letter's deliveries and freeze it; None when there is nothing to do, or not yet.

        Raises:
            TemplateInvalid: a template of the newsletter's theme fails.
        """
        database, clock = self._parts.database, self._parts.clock
        for _ in range(_PASSES):
            async with database.read() as session:
                plan = await letters.load_letter(session, edition_id, clock())
                if plan is None:
                    return None
                languages = await letters.load_languages(session, plan)
                made = await find_cohorts(session, edition_id)
            for language in languages:
                if letters.letter_key(plan, language) not in made:
                    await self._make_letter(plan, language)
            await self._write_letter(plan)
            async with database.read() as session:
                standing = await letters.load_standing(session, plan)
            async with database.write() as session:
                state = await letters.freeze_letter(session, plan, standing, clock())
                if state is EditionState.FROZEN:
                    await self._parts.jobs.put(session, "deliver", {}, once="deliver")
            if state is not None:
                return state
        return None  # they came faster than they were written; the sweep comes back to it

    async def _make_letter(self, plan: LetterPlan, language: str) -> None:
        mail = await asyncio.to_thread(
            self._parts.digests.render_letter,
            plan.newsletter,
            subject=plan.letter.subject,
            body=plan.letter.body,
            language=language,
            date_at=plan.wave.due_at,
            article=plan.article,
            kind=plan.edition.kind,
        )
        async with self._parts.database.write() as session:
            await letters.store_letter(session, plan, language, _stored(mail))

    async def _write_letter(self, plan: LetterPlan) -> None:
        after_id = 0
        while True:
            async with self._parts.database.read() as session:
                ids = await letters.next_recipients(session, plan, after_id)
            if not ids:
                break
            async with self._parts.database.write() as session:
                await letters.write_chunk(session, plan, ids, self._parts.clock(), self._lasts)
            after_id = ids[-1]

    # -- article withdrawn -> the same mails without it, or none ---------------------------------

    async def handle_withdrawals(self, *, at_once: bool = False) -> Moved:
        """Take articles that are withdrawn by now out of mails that wait, or stop those mails.

        Costs next to nothing when nothing was withdrawn lately. One at a time in a process.

        Args:
            at_once: something was withdrawn just now; else it is not looked again so soon after
                something was found.
        """
        now, moved = self._parts.clock(), Moved()
        self._is_asked = self._is_asked or at_once
        rests = self._rests_until is not None and now < self._rests_until
        if self._withdrawing or (rests and not self._is_asked):
            return moved
        # Should it be asked for again meanwhile, the next look is not put off.
        self._withdrawing, self._is_asked = True, False
        try:
            async with self._parts.database.read() as session:
                withdrawn = await withdrawals.load_withdrawn(session, now)
                found = await withdrawals.find_affected(session, withdrawn)
            for edition_id in found:
                moved += await self._try_withdraw(edition_id, withdrawn)
            self._rests_until = self._parts.clock() + _WITHDRAWAL_REST if withdrawn else None
        finally:
            self._withdrawing = False
        return moved

    async def _try_withdraw(self, edition_id: int, withdrawn: Sequence[int]) -> Moved:
        """One that cannot be changed is paused: better late than with what was withdrawn."""
        try:
            return await self._withdraw(edition_id, withdrawn)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            fault = (
                f"an article was withdrawn, and cannot be taken out of its mails: {_name(error)}"
            )
            log.error("edition paused", edition=edition_id, fault=fault)
            async with self._parts.database.write() as session:
                await pause_edition(session, edition_id, fault, self._parts.clock())
            return Moved()

    async def _withdraw(self, edition_id: int, withdrawn: Sequence[int]) -> Moved:
        database, moved = self._parts.database, Moved()
        async with database.read() as session:
            affected = await withdrawals.load_affected(session, edition_id, withdrawn)
        if affected is None:
            return moved
        if affected.stops:
            async with database.write() as session:
                await withdrawals.stop_edition(session, affected)
                await self._parts.jobs.put(session, "cancel", {}, once="cancel")
            log.warning("edition stopped: an article was withdrawn", edition=edition_id)
            return moved
        for cohort in affected.cohorts:
            moved += await self._withdraw_from(affected, cohort)
        log.warning(
            "an article was withdrawn from mails", edition=edition_id, without=moved.without,
            emptied=moved.emptied, not_repeated=moved.left,
        )  # fmt: skip
        return moved

    async def _withdraw_from(self, affected: AffectedEdition, cohort: Affected) -> Moved:
        """Move the waiting mails of a cohort, a piece at a time."""
        plan = plan_without(cohort, affected.rules)
        to = await self._make_without(affected, plan) if plan is not None else None
        moved, some = Moved(), Moved(without=1)
        while some.total:
            async with self._parts.database.write() as session:
                some = await withdrawals.move_mails(
                    session, cohort, affected.edition.id or 0, to, self._parts.clock()
                )
            moved += some
        return moved

    async def _make_without(self, affected: AffectedEdition, plan: CohortPlan) -> int:
        edition_id = affected.edition.id or 0
        async with self._parts.database.read() as session:
            if (made := (await find_cohorts(session, edition_id)).get(plan.key)) is not None:
                return made
            notes = await load_notes(
                session, affected.edition.newsletter_id, affected.due_at, plan.language
            )
        rendered = await render_cohort(
            self._parts,
            affected.newsletter,
            affected.schedule,
            plan,
            due_at=affected.due_at,
            day=composing.day_of(affected.edition, affected.schedule),
            intro=Curation.of(affected.edition.curation).intro,
            notes=notes if affected.edition.kind is EditionKind.DIGEST else (),
            kind=affected.edition.kind,
        )
        async with self._parts.database.write() as session:
            return await store_cohort(
                session, edition_id, plan, affected.newsletter.theme, rendered
            )

    # -- newcomer -> the newest articles -> delivery ---------------------------------------------

    async def welcome(self) -> int:
        """Greet some of those who are owed a welcome; how many were looked at, 0 for none left."""
        if self._greeting:
            return 0
        self._greeting = True
        try:
            now = self._parts.clock()
            besides = [one for one, until in self._ungreeted.items() if now < until]
            async with self._parts.database.read() as session:
                groups = await welcome.load_newcomers(session, besides)
            for newcomers in groups:
                await self._try_greet(newcomers)
        finally:
            self._greeting = False
        return sum(len(one.subscription_ids) for one in groups)

    async def _try_greet(self, newcomers: Newcomers) -> None:
        try:
            await self._greet(newcomers)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            # A template of one newsletter must not hold up the others.
            newsletter = newcomers.newsletter
            self._ungreeted[newsletter.id or 0] = self._parts.clock() + _FAULT_REST
            log.error("no welcome can be made", newsletter=newsletter.key, fault=_name(error))

    async def _greet(self, newcomers: Newcomers) -> None:
        parts, now = self._parts, self._parts.clock()
        async with parts.database.read() as session:
            chosen = await welcome.choose_welcome(session, newcomers, now)
        rendered = None
        if chosen.items:
            rendered = await render_cohort(
                parts, newcomers.newsletter, None, chosen.plan, due_at=now, kind=EditionKind.WELCOME
            )
        async with parts.database.write() as session:
            edition_id = await welcome.greet(session, chosen, rendered, now, self._lasts)
            if edition_id is not None:
                await parts.jobs.put(session, "deliver", {}, once="deliver")

    @property
    def _lasts(self) -> timedelta:
        """How long a mail is worth sending."""
        return timedelta(hours=self._parts.settings.sending.digest_expires_hours)


async def render_cohort(
    parts: Parts,
    newsletter: Newsletter,
    schedule: Schedule | None,
    plan: CohortPlan,
    *,
    due_at: datetime,
    day: date | None = None,
    intro: str = "",
    notes: Sequence[str] = (),
    kind: EditionKind = EditionKind.DIGEST,
) -> RenderedCohort:
    """Render the mail of a plan, outside of any transaction.

    Raises:
        ArticleChanged: an article is not as it was when the plan was made.
    """
    beyond = composing.ids_of(plan.items, ItemOutcome.AND_MORE)
    async with parts.database.read() as session:
        shown = composing.ids_of(plan.items, ItemOutcome.MAILED)
        articles = await composing.load_articles(session, shown)
        composing.check_unchanged(plan.items, articles)
        more = await composing.load_articles(session, beyond[:_MORE_LISTED])
    async with parts.rendering:
        mail = await asyncio.to_thread(
            parts.digests.render,
            newsletter,
            schedule,
            articles,
            language=plan.language,
            more=more,
            more_count=len(beyond),
            due_at=due_at,
            day=day,
            intro=intro,
            notes=notes,
            kind=kind,
        )
    return _stored(mail)


def _name(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _stored(mail: RenderedMail) -> RenderedCohort:
    return RenderedCohort(mail.subject, mail.html, mail.text, mail.page, mail.shown)
