"""A test mail: edition -> mail -> message -> relay, for one address, without any row."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from feedsvc.db.engine import Database
from feedsvc.editions import registry, trial
from feedsvc.editions.trial import Digest, Trial
from feedsvc.kit.addresses import Address
from feedsvc.messages.assemble import Rendered
from feedsvc.messages.digests import DigestRenderer
from feedsvc.messages.trials import TrialMaker
from feedsvc.model.newsletter import Newsletter
from feedsvc.model.relay import Relay
from feedsvc.relays.once import hand_over_once


@dataclass(frozen=True, slots=True)
class Tested:
    """A test mail that a relay has taken."""

    newsletter: str
    #: None: the edition has not been made yet.
    edition: int | None
    subject: str
    language: str
    #: Articles shown in it; None where they were not chosen anew.
    articles: int | None
    #: The edition itself would wait for more.
    too_few: bool
    relay: str
    reply: str


@dataclass(frozen=True, slots=True)
class Trials:
    """Sends test mails, each at once; changes nothing."""

    database: Database
    digests: DigestRenderer
    maker: TrialMaker
    #: Those that may carry a newsletter, the first to be tried first.
    open_relays: Callable[[Newsletter], Sequence[Relay]]
    clock: Callable[[], datetime]

    async def send(
        self,
        newsletter: str,
        address: Address,
        *,
        schedule: str | None = None,
        edition: int | None = None,
        language: str | None = None,
    ) -> Tested:
        """Send somebody an edition: the next one of a schedule, or one that is there.

        Raises:
            NotFound: there is no such newsletter, schedule or edition, or nothing new to mail.
            TemplateInvalid: a template of the newsletter's theme fails.
            MessageUnbuildable: the mail asks for something that only a subscriber's has.
            RelayUnavailable: no relay could be reached.
            MailRefused: a relay did not take it.
        """
        now = self.clock()
        async with self.database.read() as session:
            row = await registry.find_newsletter(session, newsletter)
            if edition is None:
                plan = await trial.plan_next(session, row, schedule, now, language)
            else:
                plan = await trial.plan_edition(session, row, edition, now, language)
        mail, shown = await asyncio.to_thread(self._render, plan, now)
        message = self.maker.make(
            mail, plan.newsletter, plan.kind, address.wire, language=plan.language, date=now
        )
        relay, reply = await hand_over_once(self.open_relays(plan.newsletter), message)
        return Tested(
            newsletter,
            plan.edition_id,
            mail.subject,
            plan.language,
            shown,
            plan.digest is not None and plan.digest.too_few,
            relay,
            reply.text,
        )

    def _render(self, plan: Trial, now: datetime) -> tuple[Rendered, int | None]:
        """The mail as all its readers' have it, and how many articles it shows."""
        if plan.stored is not None:
            return plan.stored, None
        if plan.digest is not None:
            return self._render_digest(plan, plan.digest)
        assert plan.letter is not None
        mail = self.digests.render_letter(
            plan.newsletter,
            subject=plan.letter.subject,
            body=plan.letter.body,
            language=plan.language,
            date_at=now,
            article=plan.article,
            kind=plan.kind,
        )
        return mail, None

    def _render_digest(self, plan: Trial, digest: Digest) -> tuple[Rendered, int]:
        mail = self.digests.render(
            plan.newsletter,
            digest.schedule,
            digest.articles,
            language=plan.language,
            more=digest.more,
            more_count=digest.more_count,
            due_at=digest.due_at,
            day=digest.day,
            intro=digest.intro,
            notes=digest.notes,
            kind=plan.kind,
        )
        return mail, mail.shown
