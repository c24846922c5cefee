"""One message handed over at once, outside of deliveries: no row, no limit, no second try."""

from collections.abc import Sequence

from feedsvc.errors import MailRefused, RelayUnavailable
from feedsvc.kit.reply_advice import advice
from feedsvc.model.relay import Message, Relay, SendResult, Verdict

_SAYS = {
    Verdict.DEFERRED: "does not take it now",
    Verdict.REFUSED: "refuses it",
    Verdict.BLOCKED: "refuses it, because of us",
    Verdict.UNKNOWN: "gave no reply after it was handed over, so it may have arrived",
}


async def hand_over_once(relays: Sequence[Relay], message: Message) -> tuple[str, SendResult]:
    """Hand a message to the first of some relays that can be reached.

    Returns:
        The relay's name, and its reply.

    Raises:
        RelayUnavailable: none could be reached; it is said of the last.
        MailRefused: one was reached, and did not take it.
    """
    problem: RelayUnavailable | None = None
    for relay in relays:
        try:
            result = await _hand_over(relay, message)
        except RelayUnavailable as error:
            problem = error
            continue
        if result.verdict is Verdict.ACCEPTED:
            return relay.name, result
        raise MailRefused(f"relay {relay.name} {_SAYS[result.verdict]}{_said(result)}")
    if problem is None:
        raise ValueError("there is no relay to hand it to")
    raise problem


async def _hand_over(relay: Relay, message: Message) -> SendResult:
    connection = await relay.open()
    try:
        result = await connection.send(message.envelope, message.content, _permit)
    finally:
        await connection.close()
    if result.verdict in (Verdict.UNAVAILABLE, Verdict.WITHHELD):
        raise RelayUnavailable(relay.name, _reply(result) or "the session ended", result.code)
    return result


async def _permit() -> bool:
    return True


def _said(result: SendResult) -> str:
    reply, what_to_do = _reply(result), advice(result.meaning, result.text)
    return (f": {reply}" if reply else "") + (f"\n{what_to_do}" if what_to_do else "")


def _reply(result: SendResult) -> str:
    return " ".join(part for part in (str(result.code or ""), result.text) if part)
