"""Which of the mails about to be claimed may go now, and by which relay."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.deliveries.claim import Claim
from feedsvc.deliveries.hand import Hand
from feedsvc.deliveries.lane import Lane
from feedsvc.deliveries.means import Means
from feedsvc.deliveries.route import choose_route
from feedsvc.deliveries.throttles import Wish

#: When mail that no relay may carry now is looked at again: when one may be tried, but within
#: these limits.
_ROUTELESS = timedelta(seconds=5)
_LONGEST_ROUTELESS = timedelta(minutes=1)


class Admission:
    """Of one drain."""

    def __init__(self, means: Means, lanes: Sequence[Lane], hand: Hand) -> None:
        self._means, self._lanes, self._hand = means, lanes, hand
        self._routes = [lane.route for lane in lanes]
        #: Of those that may go of the last batch, by their ids.
        self.wishes: dict[int, Wish] = {}
        #: A limit has put something off.
        self.is_limited = False

    async def put_off(
        self, session: AsyncSession, claims: Sequence[Claim]
    ) -> Mapping[int, datetime]:
        """Those that no relay may carry now, and those that would be too many."""
        means, now = self._means, self._means.clock()
        later: dict[int, datetime] = {}
        wishes: list[Wish] = []
        up = {lane.name for lane in self._lanes if lane.is_usable}
        for claim in claims:
            wish = self._wish(claim, up)
            if wish is None:
                later[claim.id] = self._route_again_at(claim, now)
            else:
                wishes.append(wish)
        if not means.throttles.is_free:
            limited = await means.throttles.admit(session, wishes, self._hand.held, now)
            self.is_limited = self.is_limited or bool(limited)
            later |= limited
        self.wishes = {wish.id: wish for wish in wishes if wish.id not in later}
        return later

    def _wish(self, claim: Claim, up: Collection[str]) -> Wish | None:
        means = self._means
        carriers = means.carriers.get(claim.newsletter, ())
        route = choose_route(self._routes, up, carriers, claim.id)
        if route is None:
            return None
        provider = means.domains.of(claim.address.rpartition("@")[2].lower())
        is_notice = claim.notice_id is not None
        return Wish(claim.id, route.relay.name, claim.sender_domain, provider, is_notice)

    def _route_again_at(self, claim: Claim, now: datetime) -> datetime:
        carriers = self._means.carriers.get(claim.newsletter, ())
        paused = [
            lane.paused_until
            for lane in self._lanes
            if lane.paused_until is not None and (not carriers or lane.name in carriers)
        ]
        at = min(paused, default=now)
        return min(max(at, now + _ROUTELESS), now + _LONGEST_ROUTELESS)
