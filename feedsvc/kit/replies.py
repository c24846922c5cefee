"""What a server's reply means for the mail it is about, and for the person it was for.

The words are known to reply_rules.py, what an operator can do about them to reply_advice.py, how
to make them readable to reply_text.py. Knows no connection: relays, and the readers of returned
mail, ask it about replies they hold.
"""

import re
from enum import StrEnum
from functools import lru_cache

from feedsvc.kit.reply_advice import advice
from feedsvc.kit.reply_rules import RULES
from feedsvc.kit.reply_text import MAX_REPLY_TEXT, clean_text, hide_addresses, recover_chinese
from feedsvc.model.relay import Meaning, SendResult, Verdict

__all__ = [
    "MAX_REPLY_TEXT",
    "Meaning",
    "Phase",
    "advice",
    "classify",
    "clean_text",
    "hide_addresses",
    "read_reply",
]

#: An address in a reply. Begins where nothing of one stands before, so that it is looked for once.
_ADDRESS = re.compile(r"(?<![\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]+@[\w.-]+", re.ASCII)


class Phase(StrEnum):
    """Where in the dialogue a reply came (RFC 5321 §3.3)."""

    #: To EHLO, STARTTLS, AUTH, RSET or the connection itself.
    SESSION = "session"
    #: To MAIL FROM.
    MAIL = "mail"
    #: To RCPT TO.
    RCPT = "rcpt"
    #: To the word DATA, before any of the message.
    DATA = "data"
    #: To the final dot.
    DOT = "dot"


def read_reply(code: int, text: str) -> Meaning:
    """What a reply says; `text` may span lines and hold an enhanced status code (RFC 3463).

    Looks at no more than the first 1000 characters.
    """
    line = " ".join(recover_chinese(text[:MAX_REPLY_TEXT]).split())
    if "@" in line:
        line = _ADDRESS.sub("@", line)
    return _find_meaning(code, line)


@lru_cache(maxsize=1024)
def _find_meaning(code: int, line: str) -> Meaning:
    # Without the address, a provider says the same thing again and again.
    for rule in RULES:
        if (rule.codes is None or code in rule.codes) and rule.words.search(line):
            return rule.meaning
    return Meaning.UNKNOWN


#: Meanings that end a 5xx to RCPT, or later, as something else than REFUSED.
_PERMANENT: dict[Meaning, Verdict] = {
    Meaning.THROTTLED: Verdict.DEFERRED,
    Meaning.GREYLISTED: Verdict.DEFERRED,
    Meaning.POLICY: Verdict.BLOCKED,
    Meaning.OUR_FAULT: Verdict.UNAVAILABLE,
}
#: Of the addresses whose mail needs it, and of no other.
_SMTPUTF8 = re.compile(r"smtputf8|(?<![\d.])5\.6\.7\b", re.IGNORECASE)


def classify(phase: Phase, code: int, text: str) -> SendResult:
    """What a reply in this phase makes of the handover; total, whatever a server says.

    A refusal before RCPT is the session's, so nobody is counted, except that this message is too
    large or this address needs what is not there. 421 closes the session wherever it comes; as
    the reply to the dot it is still a definite "not now" for the message. Nobody is dead but who
    was refused for good at RCPT for not being there.
    """
    if 200 <= code <= 299 and phase is Phase.DOT:
        return SendResult(Verdict.ACCEPTED, code, clean_text(text))
    if not 400 <= code <= 599:
        # Out of step or not SMTP: before the dot nothing was handed over, after it nobody knows.
        verdict = Verdict.UNKNOWN if phase is Phase.DOT else Verdict.UNAVAILABLE
        return SendResult(verdict, code, clean_text(text))
    meaning = read_reply(code, text)
    if phase in (Phase.SESSION, Phase.MAIL):
        verdict, meaning = _judge_session(phase, code, text, meaning)
    else:
        verdict = _judge_mail(phase, code, meaning)
    # QUIRK: filters of some providers say "user unknown" of living people once they have seen the
    # message; only what is said to RCPT is believed.
    dead = meaning is Meaning.DEAD_ADDRESS and verdict is Verdict.REFUSED and phase is Phase.RCPT
    return SendResult(verdict, code, clean_text(text), dead, meaning)


def _judge_session(phase: Phase, code: int, text: str, meaning: Meaning) -> tuple[Verdict, Meaning]:
    if phase is Phase.MAIL and code >= 500:
        if code == 552 and meaning in (Meaning.FULL, Meaning.UNKNOWN):
            # Nobody's mailbox is known yet: this is about SIZE (RFC 1870 §6).
            meaning = Meaning.TOO_LARGE
        if meaning is Meaning.TOO_LARGE or (
            meaning is Meaning.UNUSABLE_ADDRESS and _SMTPUTF8.search(text[:MAX_REPLY_TEXT])
        ):
            return Verdict.REFUSED, meaning
    return Verdict.UNAVAILABLE, meaning


def _judge_mail(phase: Phase, code: int, meaning: Meaning) -> Verdict:
    is_dot = phase is Phase.DOT
    if not is_dot and (code == 421 or meaning is Meaning.OUR_FAULT):
        # Postfix says 454 where we may not relay.
        return Verdict.UNAVAILABLE
    if code <= 499:
        return Verdict.DEFERRED
    verdict = _PERMANENT.get(meaning, Verdict.REFUSED)
    if verdict is Verdict.UNAVAILABLE:
        # A definite no, for our fault: it must not be counted against the person.
        return Verdict.BLOCKED
    if meaning is Meaning.UNKNOWN and phase is not Phase.RCPT:
        # The person had been agreed to; what was refused is the message, or we.
        return Verdict.BLOCKED
    return verdict
