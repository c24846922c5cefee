"""What an operator can do about a reply: one line each, as data."""

import re

from feedsvc.kit.reply_text import MAX_REPLY_TEXT, recover_chinese
from feedsvc.model.relay import Meaning


def _advice(
    words: str, line: str, *meanings: Meaning
) -> tuple[re.Pattern[str], str, tuple[Meaning, ...]]:
    return re.compile(words, re.IGNORECASE), line, meanings


#: Words, advice, and the meanings it holds for (none: for all). First match wins.
_ADVICE = (
    _advice(
        r"must be (?:the )?same as (?:the )?auth|must (?:be )?equal|env[eo]lope sender mismatch"
        r"|not owned by|send ?as ?denied|permissions? to send|is not one of your"
        r"|not authorized to send from|mailfrom account|发件人.{0,12}(?:不一致|不匹配|不相同|不符)",
        "this relay takes mail only from the address that signs in: give the newsletter that"
        " address in `from`, and set returns.address to it, without {token}",
        Meaning.OUR_FAULT,
    ),
    _advice(
        r"is not verified|verified sender|identit(?:y|ies) failed",
        "have the newsletter's address in `from`, or its domain, verified by the relay's provider",
        Meaning.OUR_FAULT,
    ),
    _advice(
        r"授权码|authorization code|mail\.qq\.com.{0,80}1001256|application.specific|app password",
        "this provider wants a password made for programs (授权码, app password), which its"
        " mailbox settings give out: set it as the relay's password",
    ),
    _advice(
        r"has no permission|无权登录|5\.7\.139\b|basic authentication is disabled"
        r"|smtp (?:auth|service|client).{0,20}disabled",
        "sign-in over SMTP is switched off for this account: switch it on in the provider's"
        " settings",
    ),
    _advice(
        r"(?:issue|use|need).{0,20} (?:starttls|tls|ssl)|encryption (?:is )?required|tls required",
        'this relay wants an encrypted connection: set its tls to "required"',
    ),
    _advice(
        r"relay.{0,20}(?:denied|prohibited|not )|to relay|not relay|denies relay|不允许中继",
        "this relay does not send mail of ours on: give its username and password, or let it"
        " relay for this machine's address",
        Meaning.OUR_FAULT,
    ),
    _advice(
        r"authenticat|\b535\b|password|credential|5\.7\.8\b|login|sign[- ]?in|认证|验证|登录|密码",
        "check the relay's username and password",
        Meaning.OUR_FAULT,
        Meaning.UNKNOWN,
    ),
    _advice(
        r"quota|(?:sending|daily|monthly|hourly) limit|maximum threshold",
        "the relay's account has sent what it may for now: set the relay's limits below that,"
        " or get a larger allowance",
        Meaning.THROTTLED,
    ),
    _advice(
        r"\bptr\b|reverse (?:dns|host|lookup)|rdns|name lookup|5\.7\.25\b",
        "give the address of the sending server a name in DNS that leads back to it (PTR)",
        Meaning.POLICY,
    ),
    _advice(
        r"\bdmarc\b|\bdkim\b|5\.7\.26\b|5\.7\.5(?:09|15)\b|unauthenticated|MI:DMA",
        "sign with DKIM for the domain in `from` (feedsvc dkim new, dkim show) and list the"
        " sending server in that domain's SPF record",
        Meaning.POLICY,
    ),
    _advice(
        r"\bspf\b|MI:SPF|5\.7\.2[347]\b",
        "list the sending server in the SPF record of the return path's domain",
        Meaning.POLICY,
    ),
    _advice(
        r"block ?list|black ?list|\brbl\b|dnsbl|spamhaus|barracuda|listed (?:at|by|in|on)|banned"
        r"|DT:RBL|HL:IPB|黑名单|S3150|S3140|reputation|信誉",
        "the address of the sending server is on a block list or not trusted: see the page they"
        " name, and ask to be removed once the cause is gone",
        Meaning.POLICY,
    ),
    _advice(
        r"spam|DT:SPM|unsolicited|content|junk|垃圾|拒收|违规",
        "they take the mail for spam: look at a sample of it, and at SPF, DKIM and DMARC",
        Meaning.POLICY,
    ),
    _advice(
        r"",
        "send less at once: see provider_limits and the relay's limits",
        Meaning.THROTTLED,
    ),
    _advice(
        r"",
        "the mail is too large for them: shorten the newsletter",
        Meaning.TOO_LARGE,
    ),
)


def advice(meaning: Meaning, text: str) -> str | None:
    """What can be done about a reply, in one line to stand behind it; None where nothing is known.

    `meaning` is Meaning.UNKNOWN where only the text of a failed connection is at hand.
    """
    text = recover_chinese(text[:MAX_REPLY_TEXT])
    for words, line, meanings in _ADVICE:
        if (not meanings or meaning in meanings) and words.search(text):
            return line
    return None
