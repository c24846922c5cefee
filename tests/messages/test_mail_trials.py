"""A test mail is what a subscriber would get, marked, signed, and with links that act on nobody."""

import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import dkim
import pytest

from feedsvc.config_sending import ReturnSettings
from feedsvc.errors import MessageUnbuildable
from feedsvc.kit.templating import Templates
from feedsvc.kit.tokens import Keyring
from feedsvc.messages.dkim import Signers
from feedsvc.messages.dkim_keys import DkimKey, make_private_key
from feedsvc.messages.render import DigestView, RenderedMail, render_digest
from feedsvc.messages.splice import Slot, marker
from feedsvc.messages.trials import TrialMaker
from feedsvc.model.edition import EditionKind
from feedsvc.model.newsletter import Newsletter
from feedsvc.model.relay import Message

NOW = datetime(2026, 11, 22, 0, 0, 3, tzinfo=UTC)
BASE = "https://news.example.com"


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Signers:
    private = make_private_key(tmp_path_factory.mktemp("keys") / "s1", is_rsa=True)
    return Signers([DkimKey("s1", "example.com", private)])


def make(
    mail: RenderedMail, newsletter: Newsletter, language: str, signers: Signers | None = None
) -> Message:
    maker = TrialMaker(Keyring("k", {"k": b"k" * 32}), signers or Signers(), ReturnSettings(), BASE)
    return maker.make(
        mail, newsletter, EditionKind.DIGEST, "me@example.org", language=language, date=NOW
    )


def parse(message: Message) -> EmailMessage:
    parsed = message_from_bytes(message.content, policy=default)
    assert isinstance(parsed, EmailMessage)
    return parsed


@pytest.mark.parametrize(
    ("language", "subject"),
    [("en", "[Test] 晨报：市政府"), ("zh-CN", "【测试】晨报：市政府")],
)
def test_its_subject_says_that_it_is_a_test(
    chenbao: Newsletter, chinese_view: DigestView, language: str, subject: str
) -> None:
    mail = render_digest(Templates(), chinese_view)
    parsed = parse(make(mail, chenbao, language))
    assert parsed["Subject"].startswith(subject)
    assert parsed["To"] == "me@example.org"
    assert not parsed.defects


def test_its_links_act_on_nobody(chenbao: Newsletter, chinese_view: DigestView) -> None:
    parsed = parse(make(render_digest(Templates(), chinese_view), chenbao, "zh"))
    assert parsed["List-Unsubscribe"] == f"<{BASE}/>"
    for kind in ("plain", "html"):
        body = parsed.get_body((kind,))
        assert body is not None
        text = body.get_content()
        assert "me@example.org" in text
        addresses = set(re.findall(rf"{BASE}/[^\s\"<)]*", text))
        assert f"{BASE}/" in addresses
        assert not [one for one in addresses if "unsubscribe" in one or "preferences" in one]


def test_it_is_signed_and_returned_like_other_mail(
    chenbao: Newsletter, chinese_view: DigestView, signers: Signers
) -> None:
    message = make(render_digest(Templates(), chinese_view), chenbao, "zh", signers)
    (key,) = signers.keys
    record = key.record.value.encode()
    assert dkim.verify(message.content, dnsfunc=lambda *_name, **_more: record)
    assert message.signed_with == "s1"
    assert message.envelope.recipient == "me@example.org"
    assert message.envelope.return_path.endswith("@example.com")


def test_a_mail_that_asks_for_a_subscribers_own_values_cannot_be_tested(
    chenbao: Newsletter,
) -> None:
    mail = RenderedMail("x", f"<p>{marker(Slot.CONFIRM_URL)}</p>", "x")
    with pytest.raises(MessageUnbuildable, match="no value for confirm_url"):
        make(mail, chenbao, "en")
