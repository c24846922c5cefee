"""What replies mean, as data: meanings, and the words that give them away.

The first rule that matches wins; the words beat the codes, because providers lie in both
directions. A new provider's reply is a line here and a row in the test of it. Every pattern is
linear: what repeats inside one repeats over different things, and gaps are bounded.

Addresses stand in the text as `@` alone, so that nothing in a name is taken for a reason.
"""

import re
from collections.abc import Container
from dataclasses import dataclass

from feedsvc.model.relay import Meaning

_TEMPORARY = range(400, 500)
_PERMANENT = range(500, 600)


@dataclass(frozen=True, slots=True)
class Rule:
    """A meaning and the words that give it away; `codes` None means with any code."""

    meaning: Meaning
    words: re.Pattern[str]
    codes: Container[int] | None = None


def _rule(meaning: Meaning, *words: str, codes: Container[int] | None = None) -> Rule:
    return Rule(meaning, re.compile("|".join(words), re.IGNORECASE), codes)


def _status(*statuses: str) -> str:
    """Enhanced status codes (RFC 3463), and no piece of an IP address; `x` is any class."""
    either = "|".join(re.escape(one).replace("x", "[45]", 1) for one in statuses)
    return rf"(?<![\d.])(?:{either})(?!\d|\.\d)"


#: Who or what an address is, in other people's words.
_WHO = (
    r"(?:users?|recipients?|mail ?box|account|addressee|address|person|customer|alias|login|inbox"
    r"|userid|e-?mail)"
)

#: We are not as the relay wants us: sender, sign-in, permission to relay.
_OURS = (
    # Most providers of mailboxes want MAIL FROM to be the address that signed in.
    _rule(
        Meaning.OUR_FAULT,
        r"must be (?:the )?same as (?:the )?auth|must (?:be )?equal (?:to )?(?:the )?auth"
        r"|env[eo]lope sender mismatch|not owned by (?:auth )?user|send ?as ?denied"
        r"|permissions? to send (?:mail )?as|(?:from|sender) address is not one of your"
        r"|not authorized to send from|e-?mail address is not verified|verified sender"
        r"|mailfrom account|bad sender'?s? (?:mailbox )?address syntax",
        r"发件人.{0,12}(?:不一致|不匹配|不相同|不符)",
    ),
    _rule(
        Meaning.OUR_FAULT,
        _status("x.7.8", "5.7.139", "5.7.57", "5.7.60", "5.7.3"),
        r"(?:must|first).{0,20} starttls|invalid credentials for relay|bad credentials"
        r"|user ?name (?:and|or) password|has no permission|login fail|too much fail auth"
        r"|main account unavailable",
        r"授权码|认证失败|验证失败|密码错误|登录失败|无权登录|未登录|需要认证",
    ),
    _rule(
        Meaning.OUR_FAULT,
        r"relay(?:ing)?(?: mail| access| is)*"
        r" (?:denied|prohibited|not (?:permitted|allowed|authorized))"
        r"|not (?:permitted|allowed|configured|authorized) to relay|(?:unable|refuse) to relay"
        r"|(?:can ?not|don't|do not|won't|will not) relay|denies relay|不允许中继",
    ),
)

#: Too much for now; the code is often that of a final no.
_TOO_MUCH = (
    # QUIRK: QQ answers 550 to what is only too fast; "access denied" is what it says of a person
    # who has had too much mail lately.
    _rule(
        Meaning.THROTTLED,
        r"frequency (?:is )?limit|mailbox unavailable or access denied|too frequent"
        r"|too many (?:recipients|messages|mails?|e-?mails) (?:this|per|on|for|from)\b",
        r"频率|过于频繁|发送频繁|(?:发信|发送|连接)(?:的)?(?:数量|数|量|次数)?(?:过|超|太|达)|稍[后候]再",
    ),
    # NetEase's reasons are two groups of capitals; DT:SPM with 451 is "the same mail again soon".
    _rule(
        Meaning.THROTTLED,
        r"\b(?:HL:(?:ICC|IFC|IFQ|REP|MEP)|MI:(?:CEL|DMC|CCL|SFQ|STC|MBF)"
        r"|RP:(?:CEL|CCL|DRC|QRC|RCL|TRC))\b",
    ),
    _rule(
        Meaning.THROTTLED,
        r"\bDT:SPM\b|unusual rate|unexpected volume|excessive volume|TSS?0\d",
        codes=_TEMPORARY,
    ),
    _rule(
        Meaning.THROTTLED,
        _status("4.7.28", "4.7.32", "4.7.650", "4.7.651", "4.7.652"),
        r"(?:concurrent|simultaneous|number of|too many) (?:smtp )?(?:connections|sessions)"
        r"|rate.?limit|throttl|too (?:fast|quickly)",
        # QUIRK: Gmail says 5.2.1, which is "disabled", of people who get too much mail.
        r"receiving (?:mail|messages|e-?mail) at a rate",
    ),
    # What our own account may send in an hour or a day.
    _rule(
        Meaning.THROTTLED,
        r"(?:sending|submission|daily|monthly|hourly|outbound) (?:message )?(?:quota|limit)"
        r"|submissionquota|sending rate|sending quota|RCPTs?\b.{0,30}maximum threshold"
        r"|exceeded .{0,40}?(?:per (?:hour|day)|hourly|daily)",
    ),
)

_FULL_OR_LARGE = (
    _rule(
        Meaning.FULL,
        _status("x.2.2"),
        r"(?:mail ?box|mailfolder|inbox|account|users?|recipient|maildir).{0,30}?"
        r" (?:is )?(?:over ?quota|(?:too )?full\b|exceed)|over ?quota|quota (?:exceed|full|viol)"
        r"|exceed.{0,30}?quota|out of (?:storage|space)|insufficient (?:disk space for|storage)"
        r"|not enough (?:storage|space)|disk quota|no space left|space not enough"
        r"|(?:storage|mailbox) (?:allocation|size|limit)|storage allocation",
        r"(?:邮箱|信箱|收件箱|空间)(?:空间|容量)?(?:已经|已)?(?:满|爆满|超)|空间不足"
        r"|容量(?:不足|已满|超)|超(?:出|过).{0,6}?(?:容量|配额)",
    ),
    _rule(
        Meaning.TOO_LARGE,
        _status("x.3.4", "x.2.3"),
        r"(?:message|mail|data|content) ?(?:size|length)s? (?:limit|exceed|is too)"
        r"|(?:message|mail|attachment|size) (?:is )?too (?:large|big|long)"
        r"|exceed(?:s|ed|ing)? (?:the )?(?:maximum|max|fixed|mail ?size|message size|size)\b"
        r"|maximum (?:message|allowable) size|length of .{0,20}?maximum threshold",
        r"(?:邮件|附件|信件)(?:大小)?(?:过大|太大|超)|大小限制",
    ),
)

#: They do not want us, or this; nothing is said about the person.
_UNWANTED = (
    _rule(
        Meaning.POLICY,
        r"\b(?:HL:(?:IHU|IPB)|MI:(?:SPF|DMA|SPB|NHD|IMF)|RP:FRL|DT:[A-Z]{3}|WM:[A-Z]{3})\b",
    ),
    # Of where it came from.
    _rule(
        Meaning.POLICY,
        _status("x.1.7", "x.1.8"),
        r"sender (?:address|domain|id|verif|check|(?:is |was )?(?:reject|denied|invalid|block))"
        r"|(?:sending|your) (?:domain|server|ip|host|network|isp|provider)\b"
        r"|(?<!or )\bip(?:v[46])? ?(?:address|name|\[|:|=|\d)|remote ip|host network|open relay"
        r"|mail from\b|\b(?:helo|ehlo)\b|client host|not accepting connections"
        r"|connections? (?:not accepted|rejected|denied)|service refuse|AUP#"
        r"|banned|not in .{0,8}?(?:white|allow)|reputation|(?:black|block|deny) ?list|\brbl\b|dnsbl"
        r"|\bdbl\b|(?<!not )(?<!un)listed (?:at|by|in|on|as)\b",
        r"发件(?:人|域|服务器)|黑名单|信誉|不受信任",
    ),
    # Of how it is signed, and of names.
    _rule(
        Meaning.POLICY,
        r"\bdmarc\b|\bspf\b|\bdkim\b|\bptr\b|reverse (?:dns|host|lookup)|rdns|unauthenticated"
        r"|(?:dns|host ?name|ip name|name) lookup|senders? to authenticate",
    ),
    # Of what is in it.
    _rule(
        Meaning.POLICY,
        r"spam|unsolicited|\bu[bc]e\b|\bjunk\b|phish|malware|virus|infected|spoof|complaint|abus"
        r"|barracuda|cloudmark|suspicious|suspected|moderat|polic(?:y|ies)|prohibit"
        r"|(?<!account is )(?<!user is )(?<!mailbox is )\bblocked\b|restricted|rejecting"
        r"|(?:message|mail|content|data)(?: content)? (?:was |is |has been )?"
        r"(?:not (?:allowed|accepted)|reject|denied|refused|filtered|discard)"
        r"|rejected (?:by|for|due|as)\b|protocol violation|not rfc|rfc ?[25]822|rfc ?5322"
        r"|header error|illegal attachment|not (?:allowed|authorized|permitted) to (?:send|post)"
        r"|attachment content|email rejected",
        r"拒收|拒绝|被拒|垃圾|屏蔽|病毒|违规|非法|敏感",
    ),
)

#: Of what could not be reached for a while: says nothing about anybody.
_NETWORK = (
    _rule(
        Meaning.UNKNOWN,
        r"timed? ?out|connection (?:refused|reset|lost)|no route to host|hop count|too many hops"
        r"|(?:mail|routing) loop|unexpected name server|message expired|queue\.expired",
    ),
)

_DOMAIN = (
    _rule(
        Meaning.UNUSABLE_ADDRESS,
        _status("5.1.3", "5.6.7"),
        r"smtputf8|(?:bad|invalid|illegal) (?:recipient |address |mailbox |destination )*"
        r"(?:syntax|format)|malformed (?:recipient |e-?mail )?address|地址格式",
    ),
    _rule(
        Meaning.DEAD_DOMAIN,
        _status("5.1.2", "5.4.4"),
        r"nxdomain|null ?mx|domain (?:name )?(?:not found|(?:does )?not exist|doesn't exist)"
        r"|(?:host|domain)(?: or domain)?(?: name)? (?:is )?(?:unknown|not found|not reachable)"
        r"|(?:unknown|no such) (?:host|domain)|illegal host|no mx (?:record )?(?:found )?for"
        r"|unrouteable (?:mail )?domain|(?:doesn't|not) accept(?:ing)? (?:any )?e?-?mail"
        r"|couldn't find any host|find a mail exchanger|no mail hosts? for|relevant mx",
        r"域名.{0,4}?(?:不存在|无法解析|不能解析|无效)|找不到.{0,4}?(?:域名|主机)",
    ),
)

_PEOPLE = (
    # QUIRK: "5.2.1 User unknown" is said of mailboxes switched off as often as of missing ones.
    _rule(Meaning.DISABLED, _status("5.2.1", "5.7.13")),
    # QUIRK: au (KDDI) leaves the address away where a person's own filter refused the mail.
    _rule(Meaning.POLICY, r"(?:^|550:? ): user unknown"),
    _rule(
        Meaning.DEAD_ADDRESS,
        _status("5.1.1", "5.1.10"),
        _status("5.1.0") + r".{0,80}?reject",
        # QUIRK: Exchange Online's way of saying that it has no such person.
        _status("5.4.1") + r".{0,80}?recipient address rejected: access denied",
        r"\b(?:no|unknown|invalid|non-?existent|bad|illegal|not a|not our|undeliverable) "
        r"(?:such |known |valid |local |final |destination |delivery |virtual |e-?mail )*"
        rf"{_WHO}\b",
        rf"\b{_WHO}\b[^.;]{{0,60}}?\b(?:unknown|invalid|inexistent|undeliverable|unlisted"
        r"|not (?:be )?(?:found|exist|known|listed|recogni[sz]ed|valid|local|registered|hosted)"
        r"|doesn['’]?t exist|no longer)",
        r"\b(?:doesn['’]?t|does not|do not|don['’]?t) have an? .{0,60}?(?:account|mail ?box)"
        r"|has no mail ?box|mail ?box (?:is )?unavailable|unavailable (?:mail )?user"
        r"|unrouteable address|unknown local.part|deleted (?:user|account|mailbox)"
        r"|no longer (?:works|with|on server|available|valid|exist)|invalid rcpt"
        r"|NoSuchUser|Recip(?:ient)?NotFound|(?:contain|have) a non-existent|no one by that",
        r"(?:用户|使用者|收件人|收信人|邮箱|信箱|地址|[账帐][号户])[^。，,;；]{0,12}?不存在"
        r"|(?:无|没有)此(?:用户|邮箱)|不存在(?:的|该)?(?:用户|收件人|邮箱|地址)|查无此人"
        r"|未开通.{0,6}?邮箱|无效的?(?:收件人|用户|邮箱|地址)|(?:收件人|地址|邮箱)无效",
    ),
    _rule(
        Meaning.DISABLED,
        _status("5.1.6"),
        rf"\b{_WHO}\b[^.;]{{0,40}}?\b(?:disabled|suspend|inactive|deactivated|expired|closed"
        r"|locked|frozen|blocked|terminated|dormant|discontinued|hangup)"
        r"|(?:disabled|suspended|inactive|deactivated|frozen|locked) (?:user|recipient|mail ?box"
        r"|account|address)|not active|has moved",
        r"(?:用户|[账帐][号户]|邮箱|收件人)[^。，,;；]{0,8}?(?:停用|禁用|冻结|锁定|注销|过期|欠费)",
    ),
)

#: What is left when no words are known.
_CODES = (
    _rule(Meaning.THROTTLED, "", codes=frozenset({421})),
    # RFC 7504: a host, and a domain, that take no mail.
    _rule(Meaning.DEAD_DOMAIN, "", codes=frozenset({521, 556})),
    _rule(Meaning.THROTTLED, r"(?<![\d.])4\.7\.\d|too (?:many|much)|excessive", codes=_TEMPORARY),
    _rule(Meaning.OUR_FAULT, "", codes=frozenset({*range(500, 505), 530, 534, 535, 538, 555})),
    _rule(Meaning.OUR_FAULT, r"authenticat", codes=frozenset({454, 550, 553, 554})),
    _rule(
        Meaning.POLICY,
        r"(?<![\d.])5\.7\.\d|access denied|not allowed|\b(?:refused|denied)\b",
        codes=_PERMANENT,
    ),
)

#: First match wins.
RULES: tuple[Rule, ...] = (
    *_OURS,
    *_TOO_MUCH,
    _rule(
        Meaning.GREYLISTED,
        r"gr[ae]y[- ]?list|postgrey|first.?time|triplet|come back|灰名单",
        _status("4.2.0") + r".{0,40}?try again",
        codes=_TEMPORARY,
    ),
    *_FULL_OR_LARGE,
    *_UNWANTED,
    *_NETWORK,
    *_DOMAIN,
    *_PEOPLE,
    *_CODES,
)
