"""From claimed deliveries to messages: what a batch shares is loaded and encoded once.

Building one message then needs no database, so it can run between two commands of a connection.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.db.engine import Database
from feedsvc.errors import FeedsvcError, MessageUnbuildable
from feedsvc.kit.templating import Templates
from feedsvc.kit.texts import Texts
from feedsvc.kit.tokens import Keyring, Scope
from feedsvc.messages.assemble import CohortMessage, Recipient, message_id, notice_message
from feedsvc.messages.render import RenderedMail, render_notice
from feedsvc.messages.splice import Slot
from feedsvc.messages.views import NoticeView
from feedsvc.model.delivery import ClaimedDelivery
from feedsvc.model.edition import Cohort, Edition
from feedsvc.model.newsletter import Newsletter
from feedsvc.model.notice import Notice
from feedsvc.model.relay import Envelope
from feedsvc.model.subscriber import Subscription

Build = Callable[[ClaimedDelivery, datetime], tuple[Envelope, bytes]]

#: Cohorts whose encoded mail is kept: a few sends at once, each of some hundred kilobytes.
_KEPT_COHORTS = 64


class MessageMaker:
    """Makes messages for deliveries of either kind.

    Args:
        notice_numbers: what a notice's link carries.
        link_lasts: how long the link of a confirmation works.
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
    ) -> None:
        self._database, self._keyring, self._templates = database, keyring, templates
        self._base_url, self._site_title, self._zone = base_url, site_title, zone
        self._notice_numbers, self._link_lasts = notice_numbers, link_lasts
        self._cohorts: OrderedDict[int, tuple[CohortMessage, Newsletter]] = OrderedDict()

    async def prepare(self, batch: Sequence[ClaimedDelivery]) -> Build:
        """Load what a batch needs; the function that is returned makes one message.

        It raises MessageUnbuildable for a message that cannot be made, and says why.
        """
        cohort_ids = {one.cohort_id for one in batch if one.cohort_id is not None}
        notice_ids = {one.notice_id for one in batch if one.notice_id is not None}
        async with self._database.read() as session:
            await self._load_cohorts(session, cohort_ids - self._cohorts.keys())
            notices = await _load_notices(session, notice_ids)
        cohorts = {}
        for cohort_id in cohort_ids & self._cohorts.keys():
            cohorts[cohort_id] = self._cohorts[cohort_id]
            self._cohorts.move_to_end(cohort_id)
        while len(self._cohorts) > _KEPT_COHORTS:
            self._cohorts.popitem(last=False)

        def build(claimed: ClaimedDelivery, date: datetime) -> tuple[Envelope, bytes]:
            if claimed.notice_id is not None:
                notice, newsletter = notices.get(claimed.notice_id, (None, None))
                if notice is None or newsletter is None:
                    raise MessageUnbuildable("what the notice is about is gone")
                return self._build_notice(claimed, notice, newsletter, date)
            found = cohorts.get(claimed.cohort_id or 0)
            if found is None:
                raise MessageUnbuildable("its rendered mail is gone")
            return self._build_digest(claimed, *found, date)

        return build

    async def _load_cohorts(self, session: AsyncSession, ids: Collection[int]) -> None:
        if not ids:
            return
        rows = await session.execute(
            select(Cohort, Newsletter)
            .join(Edition, col(Edition.id) == col(Cohort.edition_id))
            .join(Newsletter, col(Newsletter.id) == col(Edition.newsletter_id))
            .where(col(Cohort.id).in_(ids))
        )
        for cohort, newsletter in rows.all():
            view = self._keyring.sign(Scope.VIEW, cohort.id or 0)
            shared: dict[str, str] = {Slot.VIEW_URL: f"{self._base_url}/editions/{view}"}
            message = CohortMessage(cohort, newsletter, _domain(newsletter), shared)
            self._cohorts[cohort.id or 0] = message, newsletter

    def _build_digest(
        self,
        claimed: ClaimedDelivery,
        message: CohortMessage,
        newsletter: Newsletter,
        date: datetime,
    ) -> tuple[Envelope, bytes]:
        leave = self._keyring.sign(Scope.UNSUBSCRIBE, claimed.subscription_id or 0)
        person = Recipient(
            claimed.address,
            claimed.name,
            {Slot.UNSUBSCRIBE_URL: f"{self._base_url}/unsubscribe/{leave}"},
        )
        identity = self._keyring.derive(
            "message-id", "edition", claimed.edition_id or 0, claimed.subscriber_id
        )
        content = message.build(person, date, message_id(identity, _domain(newsletter)))
        return Envelope(newsletter.from_address, claimed.address), content

    def _build_notice(
        self, claimed: ClaimedDelivery, notice: Notice, newsletter: Newsletter, date: datetime
    ) -> tuple[Envelope, bytes]:
        lasts_until = notice.created_at + self._link_lasts
        # When it is too old is decided where it is used, by the wish it is for.
        token = self._keyring.sign(Scope.CONFIRM, *self._notice_numbers(notice))
        person = Recipient(
            claimed.address, values={Slot.CONFIRM_URL: f"{self._base_url}/confirm/{token}"}
        )
        identity = self._keyring.derive("message-id", "notice", notice.id or 0)
        content = notice_message(
            self._render_notice(notice, newsletter, lasts_until),
            newsletter,
            person,
            date,
            message_id(identity, _domain(newsletter)),
        )
        # A null return path would say "bounce"; a notice is our own first mail (RFC 3834 §3.3).
        return Envelope(newsletter.from_address, claimed.address), content

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
    if not ids:
        return {}
    rows = await session.execute(
        select(Notice, Newsletter)
        .join(Subscription, col(Subscription.id) == col(Notice.subscription_id))
        .join(Newsletter, col(Newsletter.id) == col(Subscription.newsletter_id))
        .where(col(Notice.id).in_(ids))
    )
    return {notice.id or 0: (notice, newsletter) for notice, newsletter in rows.all()}


def _domain(newsletter: Newsletter) -> str:
    """The domain we own by sending from it: for Message-ID and List-Id."""
    return newsletter.from_address.rpartition("@")[2]
