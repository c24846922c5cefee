"""What a server's reply means: the classification of SMTP replies, as data.

Text beats code, because providers lie in both directions; the order of `RULES` matters. Knows no
connection: relays and the readers of returned mail ask it about replies they hold.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from feedsvc.model.relay import SendResult, Verdict

#: Characters of a reply that are kept; servers may say as much as they like.
MAX_REPLY_TEXT = 1000


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


class Meaning(StrEnum):
    """What a reply says, whatever its code."""

    #: Nobody lives there.
    DEAD_ADDRESS = "dead address"
    #: The domain does not exist or takes no mail.
    DEAD_DOMAIN = "dead domain"
    #: The address cannot be written or carried on this way.
    UNUSABLE_ADDRESS = "unusable address"
    #: The mailbox exists but is switched off; often for good.
    DISABLED = "disabled"
    #: The mailbox is full.
    FULL = "mailbox full"
    #: This message is too large for them.
    TOO_LARGE = "too large"
    #: They refuse us: policy, reputation, authentication of the domain, content.
    POLICY = "blocked by policy"
    #: Too much mail at once; less of it, later, is right.
    THROTTLED = "throttled"
    #: Not yet known there; the same mail a little later is taken.
    GREYLISTED = "greylisted"
    #: Our sign-in or our commands are wrong: says nothing about the message.
    OUR_FAULT = "our configuration"
    #: Nothing we recognise; the first digit decides.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Rule:
    """A meaning and the words that give it away; `codes` None means with any code."""

    meaning: Meaning
    words: re.Pattern[str]
    codes: frozenset[int] | None = None


def _rule(meaning: Meaning, words: str, *codes: int) -> Rule:
    return Rule(meaning, re.compile(words, re.IGNORECASE), frozenset(codes) if codes else None)


#: First match wins. Each alternative is linear: no nested repetition.
RULES: tuple[Rule, ...] = (
    # QUIRK: QQ answers 550 to what is only too fast or too much for the moment.
    _rule(
        Meaning.THROTTLED,
        r"(?:sender|domain|connection|ip) frequency limited|frequency limit"
        r"|mailbox unavailable or access denied|too many recipients this (?:hour|day)",
    ),
    # QUIRK: NetEase gives the true reason as two letter groups at the start.
    _rule(
        Meaning.THROTTLED,
        r"\b(?:MI:DMC|HL:ICC|HL:IFC|HL:IHU|DT:SPM|RP:CEL|RP:RCL|MI:MBF|MI:CEL)\b",
    ),
    # QUIRK: Exchange Online says 5.4.1 "Access denied" of people it does not have.
    _rule(Meaning.DEAD_ADDRESS, r"5\.4\.1\b.{0,80}recipient address rejected: access denied"),
    _rule(Meaning.GREYLISTED, r"gr[ae]y[- ]?list|4\.2\.0\b.{0,40}try again"),
    _rule(
        Meaning.FULL,
        r"[245]\.2\.2\b|(?:mailbox|mail box|inbox|account|user).{0,30} (?:is )?(?:over ?quota|full)"
        r"|over ?quota|quota (?:exceeded|full)|exceeded.{0,30}quota|out of storage"
        r"|insufficient disk space for",
    ),
    _rule(
        Meaning.TOO_LARGE,
        r"[45]\.3\.4\b|[45]\.2\.3\b|message (?:size|length) exceeds"
        r"|(?:message|mail) (?:is )?too (?:large|big)|exceeds? (?:the )?(?:maximum|fixed)",
    ),
    _rule(
        Meaning.OUR_FAULT,
        r"[45]\.7\.8\b|authentication (?:is )?required|must (?:authenticate|issue a starttls)"
        r"|authentication (?:failed|unsuccessful|credentials invalid)|bad credentials"
        r"|sign[- ]in (?:is )?required",
    ),
    _rule(
        Meaning.POLICY,
        r"[45]\.1\.8\b|sender address|policy (?:restriction|reason|violation)"
        r"|5\.7\.(?:2[0-9]|50[0-9]|51[0-9]|60[0-9]|70[0-9]|75[0-9])\b|\bdmarc\b|\bspf\b|\bdkim\b"
        r"|\bspam(?:my|haus|cop|ming)?\b|unsolicited|black ?list|block ?list|\brbl\b|dnsbl"
        r"|poor reputation|(?:low|bad) reputation|sender reputation|reverse dns|\bptr\b|5\.7\.1300"
        r"|listed (?:at|by|in|on) |banned sending|blocked using|relay(?:ing)? (?:access )?denied"
        r"|not permitted to relay|unable to relay|virus|content (?:rejected|policy)",
    ),
    _rule(
        Meaning.UNUSABLE_ADDRESS,
        r"5\.1\.3\b|5\.6\.7\b|smtputf8|(?:bad|invalid) (?:recipient |address |mailbox )?"
        r"(?:address )?syntax|malformed address",
    ),
    # QUIRK: "5.2.1 … User Unknown" is said of suspended mailboxes as often as of missing ones.
    _rule(Meaning.DISABLED, r"5\.2\.1\b|5\.1\.6\b"),
    _rule(
        Meaning.DEAD_DOMAIN,
        r"5\.1\.2\b|5\.4\.4\b|nxdomain|null ?mx|domain (?:name )?(?:not found|does ?n[o']t exist)"
        r"|host (?:or domain name )?(?:unknown|not found)|unknown host|no such (?:domain|host)"
        r"|unrouteable (?:mail )?domain|does not accept (?:any )?mail|all relevant mx records",
    ),
    _rule(
        Meaning.DEAD_ADDRESS,
        r"5\.1\.1\b|5\.1\.10\b|5\.1\.0\b.{0,80}(?:address|recipient|user).{0,30}reject"
        r"|(?:no|unknown|invalid|non-?existent|bad|not a valid|not our) (?:such )?"
        r"(?:e-?mail )?(?:local )?(?:user|recipient|mailbox|person|customer|account)\b"
        r"|(?:user|recipient|mailbox|account|address|addressee)(?: address| name)?"
        r".{0,120}? (?:(?:is |are )?(?:unknown|invalid)|not (?:found|exist|known|here|listed)"
        r"|(?:does|do|did) ?n[o']t? ?exist|cannot be found|could ?n[o']t be found)"
        r"|(?:user|recipient|mailbox)(?: address)? (?:unknown|invalid|not found|rejected:? user)"
        r"|(?:doesn't|does not|do not|don't) have an? .{0,60}(?:account|mailbox)"
        r"|no (?:mailbox|account|user|one|recipient) (?:here )?(?:by|with|of|named|at) "
        r"|no mailbox (?:found|here)|unrouteable address|unknown (?:address|account|local part)"
        r"|address (?:unknown|does not exist)|is not a (?:known|valid) (?:user|mailbox|recipient)"
        r"|requested (?:mail )?action not taken: mailbox unavailable"
        r"|not a known user|no longer (?:works|with|available|valid|exists)",
    ),
    _rule(
        Meaning.DISABLED,
        r"(?:mailbox|account|user|address|recipient).{0,40} (?:is |has been )?"
        r"(?:disabled|suspended|inactive|deactivated|expired|closed|locked|blocked|frozen)"
        r"|has moved|not active",
    ),
    _rule(
        Meaning.THROTTLED,
        r"4\.7\.(?:28|32|650|651|652)\b|\bTSS0\d|rate limit|too (?:many|much|fast|quickly)"
        r"|receiving (?:mail|messages|e-?mail) (?:at a rate|too quickly)|throttl|try again later",
    ),
    _rule(Meaning.OUR_FAULT, r"5\.5\.[12]\b", 500, 501, 502, 503, 504),
    _rule(Meaning.OUR_FAULT, r"", 503, 530, 534, 535, 538),
    _rule(Meaning.POLICY, r"5\.7\.\d|policy|access denied|not allowed|refused|reject(?:ed|ion) by"),
)


def read_reply(code: int, text: str) -> Meaning:
    """What a reply says; `text` may span lines and hold an enhanced status code (RFC 3463)."""
    line = " ".join(text.split())
    for rule in RULES:
        if (rule.codes is None or code in rule.codes) and rule.words.search(line):
            return rule.meaning
    return Meaning.UNKNOWN


#: Meanings that end a 5xx as something else than REFUSED.
_PERMANENT: dict[Meaning, Verdict] = {
    Meaning.THROTTLED: Verdict.DEFERRED,
    Meaning.GREYLISTED: Verdict.DEFERRED,
    Meaning.POLICY: Verdict.BLOCKED,
    Meaning.OUR_FAULT: Verdict.UNAVAILABLE,
}
#: Meanings after which nothing should be sent to that address again.
_DEAD = frozenset({Meaning.DEAD_ADDRESS})


def classify(phase: Phase, code: int, text: str) -> SendResult:
    """What a reply in this phase makes of the handover; total, whatever a server says.

    A refusal before RCPT is the session's, so nobody is counted, except that this message is too
    large. 421 closes the session wherever it comes; as the reply to the dot it is still a
    definite "not now" for the message.
    """
    kept = clean_text(text)
    verdict, dead = _judge(phase, code, text[:MAX_REPLY_TEXT])
    return SendResult(verdict, code, kept, address_dead=dead)


def _judge(phase: Phase, code: int, text: str) -> tuple[Verdict, bool]:
    if phase is Phase.DOT and 200 <= code <= 299:
        return Verdict.ACCEPTED, False
    if not 400 <= code <= 599:
        # Out of step or not SMTP: before the dot nothing was handed over, after it nobody knows.
        return (Verdict.UNKNOWN if phase is Phase.DOT else Verdict.UNAVAILABLE), False
    if phase in (Phase.SESSION, Phase.MAIL):
        too_large = phase is Phase.MAIL and code == 552
        return (Verdict.REFUSED if too_large else Verdict.UNAVAILABLE), False
    if code == 421:
        return (Verdict.DEFERRED if phase is Phase.DOT else Verdict.UNAVAILABLE), False
    if code <= 499:
        return Verdict.DEFERRED, False
    meaning = read_reply(code, text)
    verdict = _PERMANENT.get(meaning, Verdict.REFUSED)
    # QUIRK: filters of some providers say "user unknown" of living people once they have seen the
    # message; only what is said to RCPT is believed.
    dead = phase is Phase.RCPT and verdict is Verdict.REFUSED and meaning in _DEAD
    if verdict is Verdict.UNAVAILABLE and phase is Phase.DOT:
        # A definite no, for our fault: it must not be counted against the person.
        verdict = Verdict.BLOCKED
    return verdict, dead


def clean_text(text: str) -> str:
    """A reply as one storable line: no controls, no lone surrogates, bounded."""
    # SECURITY: a server chooses this text; databases refuse NUL, terminals obey escapes.
    line = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    return "".join(char if char.isprintable() else "?" for char in line)[:MAX_REPLY_TEXT]


def hide_addresses(text: str) -> str:
    """The text with every word that holds an `@` left out, for logs: servers repeat addresses."""
    return " ".join("…" if "@" in word else word for word in text.split())
