"""From claimed deliveries to messages: what a batch shares is loaded and encoded once.

Building one message then needs no database and changes nothing, so several threads can build at
once: hashing and RSA leave the interpreter to the others meanwhile.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.config_sending import ReturnSettings
from feedsvc.db.engine import Database
from feedsvc.errors import FeedsvcError, MessageUnbuildable
from feedsvc.kit.templating import Templates
from feedsvc.kit.texts import Texts
from feedsvc.kit.tokens import Keyring, Scope
from feedsvc.messages.assemble import (
    CohortMessage,
    Draft,
    Recipient,
    message_id,
    notice_draft,
)
from feedsvc.messages.dkim import Signers
from feedsvc.messages.headers import wire_address
from feedsvc.messages.render import RenderedMail, render_notice
from feedsvc.messages.return_paths import ReturnPaths
from feedsvc.messages.splice import Slot
from feedsvc.messages.views import NoticeView
from feedsvc.model.delivery import ClaimedDelivery
from feedsvc.model.edition import Cohort, Edition
from feedsvc.model.newsletter import Newsletter
from feedsvc.model.notice import Notice
from feedsvc.model.relay import Envelope, Message
from feedsvc.model.subscriber import Subscription

Build = Callable[[ClaimedDelivery, datetime], Message]

#: Cohorts whose encoded mail is kept: a few sends at once, each of some hundred kilobytes.
_KEPT_COHORTS = 64
#: Ids in one query.
_PIECE = 500


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A cohort whose messages can be built."""

    message: CohortMessage
    #: Address in From, as on the wire.
    sender: str


class MessageMaker:
    """Makes messages for deliveries of either kind.

    Args:
        notice_numbers: what a notice's link carries.
        link_lasts: how long the link of a confirmation works.

    Raises:
        ConfigError: the return address cannot be written.
    """

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        templates: Templates,
        *,
        base_url: str,
        site_title: str,
        zone: str,
        notice_numbers: Callable[[Notice], tuple[int, ...]],
        link_lasts: timedelta,
        signers: Signers,
        returns: ReturnSettings,
    ) -> None:
        self._database, self._keyring, self._templates = database, keyring, templates
        self._base_url, self._site_title, self._zone = base_url, site_title, zone
        self._notice_numbers, self._link_lasts = notice_numbers, link_lasts
        self._signers, self._returns = signers, ReturnPaths(returns, keyring)
        self._cohorts: OrderedDict[int, _Loaded] = OrderedDict()

    async def prepare(self, batch: Sequence[ClaimedDelivery]) -> Build:
        """Load what a batch needs; the function that is returned makes one message.

        It may be called by several threads at once. It raises MessageUnbuildable for a message
        that cannot be made, and says why.
        """
        cohort_ids = {one.cohort_id for one in batch if one.cohort_id is not None}
        notice_ids = {one.notice_id for one in batch if one.notice_id is not None}
        # Held before the database is asked: another batch may drop them from what is kept.
        cohorts = {one: self._cohorts[one] for one in cohort_ids & self._cohorts.keys()}
        async with self._database.read() as session:
            cohorts |= await self._load_cohorts(session, cohort_ids - cohorts.keys())
            notices = await _load_notices(session, notice_ids)
        self._keep(cohorts)

        def build(claimed: ClaimedDelivery, date: datetime) -> Message:
            if claimed.notice_id is not None:
                notice, newsletter = notices.get(claimed.notice_id, (None, None))
                if notice is None or newsletter is None:
                    raise MessageUnbuildable("what the notice is about is gone")
                sender = wire_address(newsletter.from_address)
                draft = self._draft_notice(claimed, notice, newsletter, date)
            else:
                found = cohorts.get(claimed.cohort_id or 0)
                if found is None:
                    raise MessageUnbuildable("its rendered mail is gone")
                sender = found.sender
                draft = self._draft_digest(claimed, found, date)
            return self._sign(claimed, draft, sender, date)

        return build

    def _keep(self, cohorts: Mapping[int, _Loaded]) -> None:
        """Remember cohorts for the next batches, and forget those used longest ago."""
        for cohort_id, loaded in cohorts.items():
            self._cohorts[cohort_id] = loaded
            self._cohorts.move_to_end(cohort_id)
        while len(self._cohorts) > _KEPT_COHORTS:
            self._cohorts.popitem(last=False)

    async def _load_cohorts(
        self, session: AsyncSession, ids: Collection[int]
    ) -> dict[int, _Loaded]:
        loaded = {}
        for piece in _pieces(ids):
            rows = await session.execute(
                select(Cohort, Edition, Newsletter)
                .join(Edition, col(Edition.id) == col(Cohort.edition_id))
                .join(Newsletter, col(Newsletter.id) == col(Edition.newsletter_id))
                .where(col(Cohort.id).in_(piece))
            )
            for cohort, edition, newsletter in rows.all():
                view = self._keyring.sign(Scope.VIEW, cohort.id or 0)
                sender = wire_address(newsletter.from_address)
                message = CohortMessage(
                    cohort,
                    newsletter,
                    _domain(sender),
                    (f"e{edition.id}", newsletter.key, edition.kind),
                    {Slot.VIEW_URL: f"{self._base_url}/editions/{view}"},
                )
                loaded[cohort.id or 0] = _Loaded(message, sender)
        return loaded

    def _draft_digest(self, claimed: ClaimedDelivery, cohort: _Loaded, date: datetime) -> Draft:
        leave = self._keyring.sign(Scope.UNSUBSCRIBE, claimed.subscription_id or 0)
        choose = self._keyring.sign(Scope.PREFERENCES, claimed.subscription_id or 0)
        person = Recipient(
            claimed.address,
            claimed.name,
            {
                Slot.UNSUBSCRIBE_URL: f"{self._base_url}/unsubscribe/{leave}",
                Slot.PREFERENCES_URL: f"{self._base_url}/preferences/{choose}",
            },
        )
        identity = self._keyring.derive(
            "message-id", "edition", claimed.edition_id or 0, claimed.subscriber_id
        )
        return cohort.message.build(person, date, message_id(identity, _domain(cohort.sender)))

    def _sign(self, claimed: ClaimedDelivery, draft: Draft, sender: str, date: datetime) -> Message:
        selectors = self._signers.choose(_domain(sender), claimed.signed_with)
        signatures = self._signers.sign(
            draft.fields, draft.body, selectors, date, is_relaxed=draft.is_relaxed
        )
        # A null return path would say "bounce"; a notice is our own first mail (RFC 3834 §3.3).
        return_path = self._returns.path(sender, claimed.id)
        return Message(
            Envelope(return_path, claimed.address, draft.is_wire_ready),
            draft.join(signatures),
            " ".join(selectors),
        )

    def _draft_notice(
        self, claimed: ClaimedDelivery, notice: Notice, newsletter: Newsletter, date: datetime
    ) -> Draft:
        lasts_until = notice.created_at + self._link_lasts
        # When it is too old is decided where it is used, by the wish it is for.
        token = self._keyring.sign(Scope.CONFIRM, *self._notice_numbers(notice))
        person = Recipient(
            claimed.address, values={Slot.CONFIRM_URL: f"{self._base_url}/confirm/{token}"}
        )
        identity = self._keyring.derive("message-id", "notice", notice.id or 0)
        return notice_draft(
            self._render_notice(notice, newsletter, lasts_until),
            newsletter,
            person,
            date,
            message_id(identity, _domain(wire_address(newsletter.from_address))),
        )

    def _render_notice(
        self, notice: Notice, newsletter: Newsletter, lasts_until: datetime
    ) -> RenderedMail:
        texts = Texts(notice.language)
        view = NoticeView(
            language=notice.language,
            newsletter_title=newsletter.title,
            sender=newsletter.sender,
            postal_address=newsletter.postal_address,
            base_url=self._base_url,
            site_title=self._site_title,
            expires=texts.datetime(lasts_until, self._zone, show_zone=True),
            kind=notice.kind,
            theme=newsletter.theme,
        )
        try:
            return render_notice(self._templates, view)
        except FeedsvcError as error:
            raise MessageUnbuildable(str(error)) from error


async def _load_notices(
    session: AsyncSession, ids: Collection[int]
) -> dict[int, tuple[Notice, Newsletter]]:
    loaded: dict[int, tuple[Notice, Newsletter]] = {}
    for piece in _pieces(ids):
        rows = await session.execute(
            select(Notice, Newsletter)
            .join(Subscription, col(Subscription.id) == col(Notice.subscription_id))
            .join(Newsletter, col(Newsletter.id) == col(Subscription.newsletter_id))
            .where(col(Notice.id).in_(piece))
        )
        loaded |= {notice.id or 0: (notice, newsletter) for notice, newsletter in rows.all()}
    return loaded


def _pieces(ids: Collection[int]) -> Iterator[list[int]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), _PIECE):
        yield ordered[start : start + _PIECE]


def _domain(sender: str) -> str:
    """The domain we own by sending from it: for Message-ID, List-Id, and who signs."""
    return sender.rpartition("@")[2]
