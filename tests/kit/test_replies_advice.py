"""What a reply makes an operator do."""

import pytest

from feedsvc.kit.replies import Meaning, Phase, advice, classify

ADVICE = [
    (501, "Mail from address must be same as authorization user.", "returns.address"),
    (553, "Mail from must equal authorized user", "`from`"),
    (553, "5.7.1 Sender address rejected: not owned by auth user.", "`from`"),
    (553, "发件人地址与登录用户不一致", "`from`"),
    (554, "Message rejected: Email address is not verified.", "verified"),
    (535, "Login Fail. Please enter your authorization code to login.", "授权码"),
    (535, "Error: 请使用授权码登录", "授权码"),
    (534, "5.7.9 Application-specific password required", "app password"),
    (550, "User has no permission", "switched off"),
    (535, "5.7.139 Authentication unsuccessful, basic authentication is disabled", "switched off"),
    (530, "5.7.0 Must issue a STARTTLS command first", "tls"),
    (554, "5.7.1 <bob@example.net>: Relay access denied", "username and password"),
    (535, "5.7.8 Error: authentication failed", "username and password"),
    (552, "Daily sending quota exceeded", "allowance"),
    (550, "Ip frequency limited", "provider_limits"),
    (550, "5.7.25 The IP address sending this message does not have a PTR record", "PTR"),
    (550, "5.7.26 Unauthenticated email from example.com is not accepted", "feedsvc dkim new"),
    (550, "SPF check failed", "SPF record"),
    (554, "5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org", "block list"),
    (554, "DT:SPM 163 smtp1,HdxpCgD3", "sample"),
    (552, "5.3.4 Message too big", "shorten"),
]


@pytest.mark.parametrize(("code", "text", "words"), ADVICE, ids=[row[1][:40] for row in ADVICE])
def test_the_operator_is_told_what_to_do(code: int, text: str, words: str) -> None:
    line = advice(classify(Phase.DOT, code, text).meaning, text)
    assert line is not None
    assert words in line
    assert "\n" not in line


@pytest.mark.parametrize("code", [535, 534, 501])
def test_a_failed_connection_is_advised_by_its_text_alone(code: int) -> None:
    text = f"user name or password refused: {code} Login Fail. Please enter your authorization code"
    assert "授权码" in (advice(Meaning.UNKNOWN, text) or "")
    assert "password" in (advice(Meaning.UNKNOWN, "user name or password refused: 535") or "")


@pytest.mark.parametrize(
    ("meaning", "text"),
    [
        (Meaning.DEAD_ADDRESS, "5.1.1 User unknown"),
        (Meaning.FULL, "5.2.2 mailbox full"),
        (Meaning.UNKNOWN, "connection refused"),
        (Meaning.UNKNOWN, ""),
    ],
)
def test_there_is_no_advice_on_what_is_not_the_operators(meaning: Meaning, text: str) -> None:
    assert advice(meaning, text) is None
