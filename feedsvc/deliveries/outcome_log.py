"""One line for each outcome; one for many mails that were taken as they should be."""

from collections.abc import Sequence

import structlog

from feedsvc.deliveries.marks import Settlement, Standing
from feedsvc.kit.replies import hide_addresses
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.relay import Verdict

log = structlog.get_logger()


def note(settlements: Sequence[Settlement]) -> list[int]:
    """Log what these came to; the ids of those that were sent, which are for `note_sent`."""
    sent: list[int] = []
    for one in settlements:
        if one.outcome.state is DeliveryState.SENT:
            sent.append(one.id)
        else:
            _note(one)
    return sent


def note_sent(ids: Sequence[int]) -> None:
    """Log mails that were taken as they should be."""
    if ids:
        log.info("deliveries sent", count=len(ids), deliveries=_listed(sorted(ids)))


def note_fenced(one: Settlement, standing: Standing | None) -> None:
    """Log a result of a row that somebody has taken over: a 250 there is a known repeat."""
    accepted = one.result is not None and one.result.verdict is Verdict.ACCEPTED
    log.warning(
        "known repeat" if accepted else "delivery was no longer ours",
        delivery=one.id,
        attempt=one.attempt,
        would_be=one.outcome.state.value,
        stands_at=standing.state.value if standing else "gone",
    )


def _note(one: Settlement) -> None:
    outcome, result = one.outcome, one.result
    reply = f"{result.code or ''} {result.text}".strip() if result is not None else ""
    write = log.info if outcome.state is DeliveryState.PENDING else log.warning
    write(
        "delivery",
        delivery=one.id,
        attempt=one.attempt,
        state=outcome.state.value,
        next_at=outcome.next_at.isoformat() if outcome.next_at else None,
        reason=hide_addresses(outcome.reason or "") or None,
        reply=hide_addresses(reply) or None,
    )


def _listed(ids: Sequence[int]) -> str:
    """Ids in order, runs of them as `from-to`."""
    runs: list[list[int]] = []
    for one in ids:
        if runs and one == runs[-1][-1] + 1:
            runs[-1][1:] = [one]
        else:
            runs.append([one])
    return ",".join("-".join(map(str, run)) for run in runs)
