"""What the hub says to callbacks, what their answers mean, and when to try again. Pure.

One subscription has one thing to do at a time. An unconfirmed wish comes before a delivery, and of
many versions that were missed only the newest is owed.
"""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from urllib.parse import urlencode

from feedsvc.model.hub import HubState

#: After each failure in a row. Once they are used up, about a day later, the version is dropped.
_WAITS = tuple(timedelta(minutes=one) for one in (1, 5, 15, 60, 180, 360, 360, 360))
_LONGEST_WAIT = timedelta(hours=6)


class Step(StrEnum):
    """What is to be done for a subscription that has come due."""

    #: Ask the callback whether it meant what was asked in its name.
    VERIFY = "verify"
    #: Send the newest version.
    DELIVER = "deliver"
    #: Say that the topic is no more, and end.
    DENY = "deny"
    #: Its lease is over.
    END = "end"
    #: It has been over for long enough.
    FORGET = "forget"
    #: Nothing until the lease ends.
    WAIT = "wait"


def choose_step(
    state: HubState,
    *,
    asked: bool,
    owed: bool,
    has_topic: bool,
    lease_until: datetime | None,
    now: datetime,
) -> Step:
    """What comes next; `asked` and `owed` say whether something is."""
    if state is HubState.ENDED:
        return Step.FORGET
    if not has_topic:
        return Step.DENY if state is HubState.ACTIVE else Step.END
    if asked:
        return Step.VERIFY
    if lease_until is None or lease_until <= now:
        return Step.END
    return Step.DELIVER if owed else Step.WAIT


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a delivery or a ping.

    `reply` is for people; `gone` says that the other side wants no more; `retry_after` is what it
    asked for, None where it did not.
    """

    ok: bool
    reply: str
    gone: bool = False
    #: Trying again as things are cannot help.
    refused: bool = False
    retry_after: timedelta | None = None


def read_outcome(status: int, retry_after: str | None, now: datetime) -> Outcome:
    """What an answer to a delivery means (WebSub §7): 2xx is success, and 410 ends it.

    Everything else is a failure, redirects among it: "subscribers MUST NOT use HTTP redirects for
    moving subscriptions".
    """
    return Outcome(
        ok=200 <= status < 300,
        reply=f"answered {status}",
        gone=status == 410,
        retry_after=_read_retry_after(retry_after, now),
    )


def next_delivery_at(attempt: int, outcome: Outcome, now: datetime) -> datetime | None:
    """When to try again after `attempt` failures in a row; None: not with this version.

    No sooner than was asked for by Retry-After, within reason.
    """
    if outcome.refused or attempt > len(_WAITS):
        return None
    wait = _WAITS[max(attempt, 1) - 1]
    return now + max(wait, min(outcome.retry_after or wait, _LONGEST_WAIT))


def verification_url(
    callback: str, mode: str, topic_url: str, challenge: str, lease_seconds: int
) -> str:
    """The address that asks a subscriber whether it meant it (WebSub §5.3)."""
    parameters = {"hub.mode": mode, "hub.topic": topic_url, "hub.challenge": challenge}
    if mode == "subscribe":
        parameters["hub.lease_seconds"] = str(lease_seconds)
    return _append(callback, parameters)


def denial_url(callback: str, topic_url: str) -> str:
    """The address that tells a subscriber that there will be no more (WebSub §5.2)."""
    return _append(
        callback,
        {
            "hub.mode": "denied",
            "hub.topic": topic_url,
            "hub.reason": "the feed is not published any more",
        },
    )


def is_confirmed(status: int, body: bytes, challenge: str) -> bool:
    """Whether a subscriber meant it: 2xx, and the challenge back, and nothing else."""
    return 200 <= status < 300 and hmac.compare_digest(body, challenge.encode())


def delivery_headers(
    media_type: str, hub_url: str, topic_url: str, body: bytes, secret: str | None
) -> dict[str, str]:
    """The headers that a version is sent with (WebSub §7), signed where a secret was given."""
    headers = {
        "Content-Type": media_type,
        "Link": f'<{hub_url}>; rel="hub", <{topic_url}>; rel="self"',
    }
    if secret is not None:
        digest = hmac.new(secret.encode(), body, "sha256").hexdigest()
        headers["X-Hub-Signature"] = f"sha256={digest}"
    return headers


def _append(callback: str, parameters: dict[str, str]) -> str:
    # What the callback had stays as it was, even where names are the same (WebSub §5.1.1).
    added = urlencode(parameters)
    if "?" not in callback:
        return f"{callback}?{added}"
    return f"{callback}{added}" if callback[-1] in "?&" else f"{callback}&{added}"


def _read_retry_after(text: str | None, now: datetime) -> timedelta | None:
    """RFC 9110 §10.2.3: seconds, or a date."""
    text = (text or "").strip()
    if text.isascii() and text.isdecimal():
        return timedelta(seconds=min(int(text[:9]), 86400))
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return max(at - now, timedelta(0))
