# ruff: noqa: E501
"""What providers and servers say, in their own words: one row a reply."""

import pytest

from feedsvc.kit.replies import Phase, classify
from feedsvc.model.relay import Meaning, Verdict

M, V = Meaning, Verdict
DEAD, DOMAIN, FULL, OFF = M.DEAD_ADDRESS, M.DEAD_DOMAIN, M.FULL, M.DISABLED
SLOW, GREY, POLICY, OURS = M.THROTTLED, M.GREYLISTED, M.POLICY, M.OUR_FAULT
LARGE, UNUSABLE, WHO_KNOWS = M.TOO_LARGE, M.UNUSABLE_ADDRESS, M.UNKNOWN
R, B, D, U = V.REFUSED, V.BLOCKED, V.DEFERRED, V.UNAVAILABLE
MAIL, RCPT, DATA, DOT, SESSION = Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT, Phase.SESSION

QQ_HELP = "http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000722"

REPLIES: dict[str, list[tuple[int, str, Phase, Meaning, Verdict]]] = {
    "qq": [
        (550, f"Mailbox not found. {QQ_HELP}", RCPT, DEAD, R),
        (550, "The recipient may contain a non-existent account, please check", DOT, DEAD, R),
        (550, f"Mailbox unavailable or access denied [x]. {QQ_HELP}", RCPT, SLOW, D),
        (550, f"Ip frequency limited [MDAw]. {QQ_HELP}", RCPT, SLOW, D),
        (550, f"Domain frequency limited. {QQ_HELP}", RCPT, SLOW, D),
        (550, f"Sender frequency limited. {QQ_HELP}", DOT, SLOW, D),
        (550, f"Connection frequency limited [x Blocked IP 192.0.2.22]. {QQ_HELP}", MAIL, SLOW, U),
        (550, f"Mail content denied. {QQ_HELP}", DOT, POLICY, B),
        (550, f"Mail is rejected by recipients [x]. {QQ_HELP}", DOT, POLICY, B),
        (550, f"SPF check failed. {QQ_HELP}", DOT, POLICY, B),
        (550, f"DKIM check failed. {QQ_HELP}", DOT, POLICY, B),
        (550, f"Suspected spam. {QQ_HELP}", DOT, POLICY, B),
        (501, "Mail from address must be same as authorization user.", MAIL, OURS, U),
        (502, "Mail from address must be same as authorization user.", DOT, OURS, B),
        (535, "Login Fail. Please enter your authorization code to login.", SESSION, OURS, U),
        (552, "message too large", DOT, LARGE, R),
    ],
    "netease": [
        (550, "User not found: lilei@163.com", RCPT, DEAD, R),
        (550, "Invalid User: lilei@126.com", RCPT, DEAD, R),
        (550, "User suspended: lilei@163.com", RCPT, OFF, R),
        (451, "DT:SPM 163 smtp1,HdxpCgD3,please try again", DOT, SLOW, D),
        (554, "DT:SPM 163 smtp1,HdxpCgD3,please see http://mail.163.com/help", DOT, POLICY, B),
        (450, "MI:DMC 163 smtp10,please see http://mail.163.com/help", RCPT, SLOW, D),
        (554, "MI:STC 163 smtp10,please see http://mail.163.com/help", RCPT, SLOW, D),
        (421, "HL:ICC 163 mx13,please see http://mail.163.com/help", SESSION, SLOW, U),
        (421, "HL:REP 163 mx13,please see http://mail.163.com/help", SESSION, SLOW, U),
        (550, "RP:TRC 163 smtp10,please see http://mail.163.com/help", RCPT, SLOW, D),
        (554, "HL:IHU 163 smtp10,please see http://mail.163.com/help", RCPT, POLICY, B),
        (554, "HL:IPB 163 smtp10,please see http://mail.163.com/help", RCPT, POLICY, B),
        (550, "MI:SPF 163 mx9,please see http://mail.163.com/help", DOT, POLICY, B),
        (554, "DT:SUM 163 smtp5,please see http://mail.163.com/help", DOT, POLICY, B),
        (450, "DT:RBL 163 mx9,please see http://mail.163.com/help", RCPT, POLICY, D),
        (553, "Mail from must equal authorized user", MAIL, OURS, U),
        (553, "authentication is required,163 smtp9", MAIL, OURS, U),
        (550, "User has no permission", SESSION, OURS, U),
        (552, "Requested mail action aborted: exceeded mailsize limit", DOT, LARGE, R),
    ],
    "gmail": [
        (
            550,
            "5.1.1 The email account that you tried to reach does not exist. Please try\n5.1.1"
            " double-checking the recipient's email address. https://support.google.com/mail/"
            "?p=NoSuchUser ab1 - gsmtp",
            RCPT,
            DEAD,
            R,
        ),
        (550, "5.2.1 The email account that you tried to reach is disabled.", RCPT, OFF, R),
        (550, "5.2.1 The user you are trying to contact is receiving mail at a rate", RCPT, SLOW, D),
        (452, "4.2.2 The recipient's inbox is out of storage space.", RCPT, FULL, D),
        (552, "5.2.2 The recipient's inbox is out of storage space and inactive.", RCPT, FULL, R),
        (550, "5.7.26 Your email has been blocked because the sender is unauthenticated.", DOT, POLICY, B),
        (550, "5.7.1 [192.0.2.1 12] Our system has detected that this message is likely unsolicited mail.", DOT, POLICY, B),
        (550, "5.7.25 The IP address sending this message does not have a PTR record", DOT, POLICY, B),
        (421, "4.7.28 Gmail has detected an unusual rate of unsolicited mail.", DOT, SLOW, D),
        (421, "4.7.0 Our system has detected an unusual rate of unsolicited mail", RCPT, SLOW, U),
        (421, "4.7.32 Your email has been rate limited because the From: header", DOT, SLOW, D),
        (550, "5.4.5 Daily user sending limit exceeded.", DOT, SLOW, D),
        (534, "5.7.9 Application-specific password required.", SESSION, OURS, U),
        (535, "5.7.8 Username and Password not accepted.", SESSION, OURS, U),
        (550, "5.7.1 Invalid credentials for relay [192.0.2.1].", MAIL, OURS, U),
        (552, "5.3.4 Your message exceeded Google's message size limits.", DOT, LARGE, R),
    ],
    "microsoft": [
        (550, "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", RCPT, DEAD, R),
        (550, "5.4.1 Recipient address rejected: Access denied. AS(201806281)", RCPT, DEAD, R),
        (550, "5.5.0 Requested action not taken: mailbox unavailable (S2017062302).", RCPT, DEAD, R),
        (550, "5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3150).", MAIL, POLICY, U),
        (550, "5.7.606 Access denied, banned sending IP [192.0.2.1]", RCPT, POLICY, B),
        (550, "5.7.515 Access denied, sending domain EXAMPLE.COM doesn't meet the required authentication level.", DOT, POLICY, B),
        (550, "5.7.509 Access denied, sending domain [EXAMPLE.COM] does not pass DMARC verification", DOT, POLICY, B),
        (451, "4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.", MAIL, SLOW, U),
        (451, "4.7.652 The mail server [192.0.2.1] has exceeded the maximum number of connections.", RCPT, SLOW, D),
        (552, "5.2.2 STOREDRV.Deliver: mailbox full", DOT, FULL, R),
        (550, "5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient", DOT, LARGE, R),
        (535, "5.7.139 Authentication unsuccessful, basic authentication is disabled.", SESSION, OURS, U),
        (530, "5.7.57 Client not authenticated to send mail.", MAIL, OURS, U),
        (550, "5.7.60 SMTP; Client does not have permissions to send as this sender", DOT, OURS, B),
    ],
    "yahoo": [
        (554, "delivery error: dd This user doesn't have a yahoo.com account (x@yahoo.com) [0]", RCPT, DEAD, R),
        (554, "delivery error: dd Sorry, your message to x@yahoo.com cannot be delivered. This account is over quota.", RCPT, FULL, R),
        (554, "30 Sorry, your message to x@yahoo.com cannot be delivered. This mailbox is disabled (554.30).", RCPT, OFF, R),
        (421, "4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints", MAIL, SLOW, U),
        (553, "5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list", SESSION, POLICY, U),
        (554, "5.7.9 Message not accepted for policy reasons.", DOT, POLICY, B),
        (450, "User is receiving mail too quickly", RCPT, SLOW, D),
        (451, "4.3.2 Internal server error", RCPT, WHO_KNOWS, D),
    ],
    "sina": [
        (550, "unknown user <lilei@sina.com>", RCPT, DEAD, R),
        (550, "user is locked", RCPT, OFF, R),
        (552, "too many same size mails; message rejected by anti-spam engine", DOT, POLICY, B),
        (553, "Envolope sender mismatch with header from", DOT, OURS, B),
        (554, "rbl deny", RCPT, POLICY, B),
    ],
    "aliyun": [
        (559, "Invalid rcptto [@sm080102]", RCPT, DEAD, R),
        (554, "Reject by behaviour spam at Rcpt State(Connection IP address:192.0.2.1) ANTISPAM_BAT: too frequently sending", RCPT, SLOW, D),
        (552, "Daily sending quota exceeded", MAIL, SLOW, U),
        (554, "Reject by content spam", DOT, POLICY, B),
        (524, "Host not found by dns resolve", RCPT, DOMAIN, R),
        (551, "Main account unavailable", MAIL, OURS, U),
        (535, "Authentication failure", SESSION, OURS, U),
    ],
    "icloud": [
        (550, "5.1.1 <lilei@icloud.com>: user does not exist", RCPT, DEAD, R),
        (550, "5.1.1 unknown or illegal alias: lilei@icloud.com", RCPT, DEAD, R),
        (552, "5.2.2 <lilei@icloud.com>: user is over quota", RCPT, FULL, R),
        (421, "4.7.1 Messages to lilei@icloud.com deferred due to excessive volume. Try again later", RCPT, SLOW, U),
        (550, "5.7.1 [CS01] Message rejected due to local policy.", DOT, POLICY, B),
        (554, "5.7.1 Your message was rejected due to example.com's DMARC policy.", DOT, POLICY, B),
        (550, "5.7.0 Blocked - see https://support.proofpoint.com/dnsbl-lookup.cgi?ip=192.0.2.1", MAIL, POLICY, U),
        (550, "5.7.0 From address is not one of your addresses", MAIL, OURS, U),
    ],
    "yandex": [
        (550, "5.7.1 No such user!", RCPT, DEAD, R),
        (552, "5.2.2 Mailbox size limit exceeded", RCPT, FULL, R),
        (554, "5.7.1 [1] Message rejected under suspicion of SPAM; https://ya.cc/1IrBc", DOT, POLICY, B),
        (553, "5.7.1 Sender address rejected: not owned by auth user.", MAIL, OURS, U),
        (451, "4.5.1 The recipient has exceeded their message rate limit. Try again later.", RCPT, SLOW, D),
    ],
    "postfix": [
        (550, "5.1.1 <carol@example.com>: Recipient address rejected: User unknown in local recipient table", RCPT, DEAD, R),
        (450, "4.1.1 <carol@example.com>: Recipient address rejected: User unknown, not verified yet", RCPT, DEAD, D),
        (450, "4.2.0 <alice@example.com>: Recipient address rejected: Greylisted, see http://postgrey", RCPT, GREY, D),
        (450, "4.7.1 <alice@example.com>: Recipient address rejected: Greylisting in effect, please come back later", RCPT, GREY, D),
        (454, "4.7.1 <bob@example.net>: Relay access denied", RCPT, OURS, U),
        (554, "5.7.1 <bob@example.net>: Relay access denied", RCPT, OURS, U),
        (553, "5.7.1 <news@example.com>: Sender address rejected: not owned by user news", RCPT, OURS, U),
        (554, "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", RCPT, POLICY, B),
        (450, "4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]", RCPT, POLICY, D),
        (450, "4.7.1 <relay.example>: Helo command rejected: Host not found", RCPT, POLICY, D),
        (450, "4.1.8 <news@example.com>: Sender address rejected: Domain not found", RCPT, POLICY, D),
        (552, "5.3.4 Message size exceeds fixed limit", MAIL, LARGE, R),
        (552, "5.2.2 <bob@example.net>: Recipient address rejected: mailbox is full", RCPT, FULL, R),
        (501, "5.1.3 Bad recipient address syntax", RCPT, UNUSABLE, R),
        (550, "5.4.4 <a@gone.example>: Host or domain name not found", RCPT, DOMAIN, R),
        (556, "5.1.10 <a@null.example>: Recipient address rejected: Domain null.example does not accept mail (nullMX)", RCPT, DOMAIN, R),
        (530, "5.7.0 Must issue a STARTTLS command first", MAIL, OURS, U),
        (503, "5.5.1 Error: need MAIL command", RCPT, OURS, U),
        (452, "4.3.1 Insufficient system storage", MAIL, WHO_KNOWS, U),
        (421, "4.7.0 mx.example.com Error: too many errors", RCPT, SLOW, U),
    ],
    "exim": [
        (550, "Unrouteable address", RCPT, DEAD, R),
        (550, "No such user here", RCPT, DEAD, R),
        (550, "relay not permitted", RCPT, OURS, U),
        (550, "all relevant MX records point to non-existent hosts", RCPT, DOMAIN, R),
        (451, "Temporary local problem - please try later", RCPT, WHO_KNOWS, D),
        (550, "Administrative prohibition", RCPT, POLICY, B),
        (550, "Verification failed for <b@example.com>; Sender verify failed", RCPT, POLICY, B),
        (550, "rejected because 192.0.2.1 is in a black list at zen.spamhaus.org", RCPT, POLICY, B),
    ],
    "sendmail": [
        (550, "5.1.1 <carol@example.com>... User unknown", RCPT, DEAD, R),
        (550, "5.2.1 <carol@example.com>... User unknown", RCPT, OFF, R),
        (553, "5.1.8 <news@example.com>... Domain of sender address news@example.com does not exist", MAIL, POLICY, U),
        (550, "5.7.1 <bob@example.net>... Relaying denied. Proper authentication required.", RCPT, OURS, U),
        (550, "5.1.2 <a@gone.example>... Host unknown (Name server: gone.example.: host not found)", RCPT, DOMAIN, R),
        (451, "4.7.1 Greylisting in action, please come back in 00:05:00", RCPT, GREY, D),
        (551, "5.1.6 User has moved; please try bob@example.org", RCPT, OFF, R),
        (553, "5.6.7 Address requires SMTPUTF8", MAIL, UNUSABLE, R),
    ],
    "in chinese": [
        (550, "用户不存在", RCPT, DEAD, R),
        (550, "该用户不存在", RCPT, DEAD, R),
        (550, "收件人<lilei@example.cn>不存在", RCPT, DEAD, R),
        (550, "收件人地址不存在", RCPT, DEAD, R),
        (550, "该用户未开通QQ邮箱", RCPT, DEAD, R),
        (550, "域名不存在,无法投递", RCPT, DOMAIN, R),
        (552, "邮箱已满", RCPT, FULL, R),
        (552, "收件人邮箱空间不足", RCPT, FULL, R),
        (550, "发送频率过高,请稍后再试", RCPT, SLOW, D),
        (550, "操作过于频繁", RCPT, SLOW, D),
        (451, "灰名单,请重试", RCPT, GREY, D),
        (550, "拒收", RCPT, POLICY, B),
        (554, "疑似垃圾邮件", DOT, POLICY, B),
        (554, "发件人域名不存在", RCPT, POLICY, B),
        (554, "您的IP已被列入黑名单", RCPT, POLICY, B),
        (550, "用户帐号已停用", RCPT, OFF, R),
        (552, "邮件过大", DOT, LARGE, R),
        (501, "地址格式错误", RCPT, UNUSABLE, R),
        (553, "发件人地址与登录用户不一致", MAIL, OURS, U),
        (535, "请使用授权码登录", SESSION, OURS, U),
    ],
    "others": [
        (554, "Message rejected: Email address is not verified. The following identities failed the check", DOT, OURS, B),
        (550, "The from address does not match a verified Sender Identity.", DOT, OURS, B),
        (454, "Throttling failure: Maximum sending rate exceeded.", DOT, SLOW, D),
        (421, "closing", RCPT, SLOW, U),
        (521, "mx.example.com does not take it", RCPT, DOMAIN, R),
        (450, "something nobody has ever said before", RCPT, WHO_KNOWS, D),
        (550, "something nobody has ever said before", RCPT, WHO_KNOWS, R),
        (550, "something nobody has ever said before", DATA, WHO_KNOWS, B),
        (550, "something nobody has ever said before", DOT, WHO_KNOWS, B),
        (550, "something nobody has ever said before", MAIL, WHO_KNOWS, U),
    ],
}  # fmt: skip
ROWS = [(provider, *row) for provider, rows in REPLIES.items() for row in rows]


@pytest.mark.parametrize(
    ("provider", "code", "text", "phase", "meaning", "verdict"),
    ROWS,
    ids=[f"{row[0]} {row[1]} {row[2][:40]}" for row in ROWS],
)
def test_a_provider_is_understood(
    provider: str, code: int, text: str, phase: Phase, meaning: Meaning, verdict: Verdict
) -> None:
    result = classify(phase, code, text)
    assert (result.meaning, result.verdict) == (meaning, verdict)
    is_dead = meaning is DEAD and verdict is R and phase is RCPT
    assert result.address_dead is is_dead


def test_every_meaning_has_a_row() -> None:
    assert {row[4] for row in ROWS} == set(Meaning)


@pytest.mark.parametrize("words", ["用户不存在", "收件人地址不存在"])
@pytest.mark.parametrize(
    "read_as",
    [("gb18030", "utf-8", "surrogateescape"), ("gb18030", "latin-1", ""), ("utf-8", "latin-1", "")],
    ids=["gbk as utf-8", "gbk as latin-1", "utf-8 as latin-1"],
)
def test_chinese_that_was_read_in_the_wrong_way_is_set_right(
    words: str, read_as: tuple[str, str, str]
) -> None:
    written, read, errors = read_as
    mangled = words.encode(written).decode(read, errors or "strict")
    result = classify(Phase.RCPT, 550, mangled)
    assert (result.meaning, result.text, result.address_dead) == (DEAD, words, True)


@pytest.mark.parametrize("text", ["Boîte aux lettres pleine", "Empfänger unbekannt", "naïve café"])
def test_other_languages_are_left_as_they_are(text: str) -> None:
    assert classify(Phase.RCPT, 550, text).text == text
