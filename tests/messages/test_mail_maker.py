"""Messages of claimed deliveries: envelope, signature, and the same bytes again for a resend."""

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import dkim
import pytest

from feedsvc.config_sending import ReturnSettings
from feedsvc.db.engine import Database
from feedsvc.errors import ConfigError, InvalidToken, MessageUnbuildable
from feedsvc.kit.templating import Templates
from feedsvc.kit.tokens import Keyring, Scope
from feedsvc.messages.dkim import Signers
from feedsvc.messages.dkim_keys import DkimKey, make_private_key
from feedsvc.messages.prepare import MessageMaker
from feedsvc.messages.render import DigestView, render_digest
from feedsvc.messages.return_paths import ReturnPaths
from feedsvc.model.delivery import ClaimedDelivery
from feedsvc.model.edition import Cohort, Edition, EditionState
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.notice import Notice, NoticeKind
from feedsvc.model.relay import Message
from feedsvc.model.subscriber import Subscriber, Subscription

NOW = datetime(2026, 11, 22, 0, 0, 3, tzinfo=UTC)
RING = Keyring("k", {"k": b"k" * 32})
CLAIM = ClaimedDelivery(
    id=41,
    attempt=1,
    subscriber_id=1,
    address="lilei@example.org",
    name="李雷",
    language="zh-CN",
    edition_id=12,
    cohort_id=1,
    subscription_id=7,
    notice_id=None,
    date_at=None,
    expires_at=NOW + timedelta(days=1),
)
NOTICE = replace(CLAIM, id=42, edition_id=None, cohort_id=None, notice_id=5)


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Signers:
    folder = tmp_path_factory.mktemp("keys")
    names = ("s1", "s2")
    private = [make_private_key(folder / name, is_rsa=name == "s1") for name in names]
    return Signers(map(DkimKey, names, ["example.com"] * 2, private))


def make_maker(
    database: Database, signers: Signers | None = None, returns: ReturnSettings | None = None
) -> MessageMaker:
    return MessageMaker(
        database,
        RING,
        Templates(),
        base_url="https://news.example.com",
        site_title="晨报",
        zone="Asia/Shanghai",
        notice_numbers=lambda notice: (notice.subscription_id or 0, 5),
        link_lasts=timedelta(days=2),
        signers=signers or Signers(),
        returns=returns or ReturnSettings(),
    )


@pytest.fixture
async def newsroom(database: Database, chenbao: Newsletter, chinese_view: DigestView) -> Database:
    """An edition with a cohort, and a notice that asks 李雷 to confirm."""
    mail = render_digest(Templates(), chinese_view)
    zone = "Asia/Shanghai"
    chenbao.id = 3
    rows = [
        chenbao,
        Schedule(
            id=2, newsletter_id=3, key="daily", label="每天", cron="0 8 * * *", zone=zone, since=NOW
        ),
        Edition(
            id=12,
            newsletter_id=3,
            schedule_id=2,
            period="2026-11-22",
            state=EditionState.SENDING,
            created_at=NOW,
        ),
        *(
            Cohort(
                id=number,
                edition_id=12,
                content_key=str(number),
                language="zh-CN",
                theme="plain",
                subject=f"第 {number} 份",
                html=mail.html,
                text=mail.text,
                page="",
            )
            for number in range(1, 151)
        ),
        Subscriber(
            id=1, address=CLAIM.address, address_key=CLAIM.address, name="李雷", created_at=NOW
        ),
        Subscription(
            id=7,
            subscriber_id=1,
            newsletter_id=3,
            schedule_id=2,
            requested_at=NOW,
            consent_text="",
        ),
        Notice(
            id=5,
            kind=NoticeKind.CONFIRMATION,
            subject="7",
            subscriber_id=1,
            subscription_id=7,
            language="zh",
            created_at=NOW,
        ),
    ]
    async with database.write() as session:
        for row in rows:
            session.add(row)
            if not isinstance(row, Cohort):
                await session.flush()
    return database


def headers(message: Message) -> Mapping[str, object]:
    return message_from_bytes(message.content, policy=default)


def verifies(signers: Signers, message: Message) -> bool:
    records = {f"{key.record.name}.".encode(): key.record.value.encode() for key in signers.keys}
    count = message.content.count(b"DKIM-Signature:")
    seal = dkim.DKIM(message.content)
    return count > 0 and all(
        seal.verify(number, dnsfunc=lambda name, timeout=5: records.get(bytes(name)))
        for number in range(count)
    )


@pytest.mark.anyio
async def test_a_digest_and_a_notice_are_signed_and_have_their_own_return_paths(
    newsroom: Database, signers: Signers
) -> None:
    build = await make_maker(newsroom, signers).prepare([CLAIM, NOTICE])
    for claim in (CLAIM, NOTICE):
        message = build(claim, NOW)
        assert message.signed_with == "s1 s2"
        assert verifies(signers, message)
        assert message.envelope.recipient == "lilei@example.org"
        assert message.envelope.is_wire_ready
        local, _, domain = message.envelope.return_path.partition("@")
        assert (local.split("+")[0], domain) == ("news", "example.com")
        assert RING.verify_return(local.split("+")[1]) == claim.id
    assert headers(build(CLAIM, NOW))["Feedback-ID"] == "e12:chenbao:digest:feedsvc"
    assert headers(build(NOTICE, NOW))["Auto-Submitted"] == "auto-generated"
    assert headers(build(NOTICE, NOW))["Feedback-ID"] is None


@pytest.mark.anyio
async def test_a_digest_leads_to_its_readers_own_choices(newsroom: Database) -> None:
    message = (await make_maker(newsroom).prepare([CLAIM]))(CLAIM, NOW)
    mail = message_from_bytes(message.content, policy=default)
    for part in ("plain", "html"):
        text = mail.get_body((part,)).get_content()  # type: ignore[union-attr]
        (token,) = set(re.findall(r"https://news\.example\.com/preferences/([\w-]+)", text))
        assert RING.verify(Scope.PREFERENCES, token, NOW) == (7,)
        with pytest.raises(InvalidToken):
            RING.verify(Scope.UNSUBSCRIBE, token, NOW)


@pytest.mark.anyio
async def test_a_resend_by_another_process_is_the_same_mail(
    newsroom: Database, signers: Signers
) -> None:
    for claim in (CLAIM, NOTICE):
        first = (await make_maker(newsroom, signers).prepare([claim]))(claim, NOW)
        again = replace(claim, attempt=2, date_at=NOW, signed_with=first.signed_with)
        assert (await make_maker(newsroom, signers).prepare([again]))(again, NOW) == first


@pytest.mark.anyio
async def test_a_resend_is_signed_by_the_keys_it_was_signed_by(
    newsroom: Database, signers: Signers
) -> None:
    rotated = Signers([replace(key, is_active=key.selector == "s2") for key in signers.keys])
    build = await make_maker(newsroom, rotated).prepare([CLAIM])
    assert build(CLAIM, NOW).signed_with == "s2"
    assert build(replace(CLAIM, signed_with="s1"), NOW).signed_with == "s1"
    assert build(replace(CLAIM, signed_with=""), NOW).signed_with == ""
    unsigned = build(replace(CLAIM, signed_with=""), NOW).content
    assert unsigned.startswith(b"From: ")
    assert unsigned in build(CLAIM, NOW).content


@pytest.mark.anyio
async def test_threads_that_build_at_once_make_the_same_messages(
    newsroom: Database, signers: Signers
) -> None:
    claims = [
        replace(CLAIM, id=n, subscriber_id=n, address=f"r{n}@example.org", name="李雷" * (n % 3))
        for n in range(1, 60)
    ]
    claims = [NOTICE, *claims, replace(NOTICE, id=99)]
    alone = await make_maker(newsroom, signers).prepare(claims)
    expected = [alone(claim, NOW) for claim in claims]
    build = await make_maker(newsroom, signers).prepare(claims)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda claim: build(claim, NOW), claims)) == expected


@pytest.mark.anyio
async def test_a_local_part_beyond_ascii_is_mailed_but_not_promised_to_be_plain(
    newsroom: Database, signers: Signers
) -> None:
    claim = replace(CLAIM, address="李雷@example.org")
    message = (await make_maker(newsroom, signers).prepare([claim]))(claim, NOW)
    assert "To: =?utf-8?B?5p2O6Zu3?= <李雷@example.org>\r\n".encode() in message.content
    assert not message.envelope.is_wire_ready
    assert verifies(signers, message)


@pytest.mark.anyio
async def test_more_cohorts_than_are_kept_can_be_sent_in_one_batch(newsroom: Database) -> None:
    maker = make_maker(newsroom)
    claims = [replace(CLAIM, id=n, cohort_id=n) for n in range(1, 151)]
    for _ in range(2):
        build = await maker.prepare(claims)
        subjects = [str(headers(build(claim, NOW))["Subject"]) for claim in claims]
        assert subjects == [f"第 {n} 份" for n in range(1, 151)]


@pytest.mark.anyio
async def test_what_is_gone_makes_no_mail(newsroom: Database) -> None:
    claims = [replace(CLAIM, cohort_id=999), replace(NOTICE, notice_id=999)]
    build = await make_maker(newsroom).prepare(claims)
    for claim in claims:
        with pytest.raises(MessageUnbuildable, match="is gone"):
            build(claim, NOW)


@pytest.mark.anyio
async def test_a_sender_under_a_chinese_domain_is_written_in_ascii(
    newsroom: Database, tmp_path: Path
) -> None:
    async with newsroom.write() as session:
        newsletter = await session.get_one(Newsletter, 3)
        newsletter.from_address = "news@例子.广告"
    key = make_private_key(tmp_path / "k", is_rsa=False)
    signers = Signers([DkimKey("s9", "xn--fsqu00a.xn--4rr70v", key)])
    build = await make_maker(newsroom, signers).prepare([CLAIM, NOTICE])
    for claim in (CLAIM, NOTICE):
        message = build(claim, NOW)
        assert b"<news@xn--fsqu00a.xn--4rr70v>\r\n" in message.content
        assert message.envelope.return_path.endswith("@xn--fsqu00a.xn--4rr70v")
        assert message.envelope.is_wire_ready
        assert message.signed_with == "s9"
        assert verifies(signers, message)


def paths(address: str | None) -> ReturnPaths:
    return ReturnPaths(ReturnSettings(address=address), RING)


def tokens() -> Iterator[int]:
    yield from (1, 41, 2**60 - 1)


@pytest.mark.parametrize(
    ("address", "sender", "pattern"),
    [
        (None, "news@example.com", "news+{}@example.com"),
        (None, "a.b+c@example.com", "a.b+c+{}@example.com"),
        ("bounces+{token}@example.com", "news@example.com", "bounces+{}@example.com"),
        ("{token}@bounces.example.com", "n@example.com", "{}@bounces.example.com"),
        ("b-{token}@例子.广告", "n@example.com", "b-{}@xn--fsqu00a.xn--4rr70v"),
        ("bounces@example.com", "news@example.com", "bounces@example.com"),
        (None, f"{'a' * 40}@example.com", f"{'a' * 40}@example.com"),
        (None, '"a b"@example.com', '"a b"@example.com'),
        (None, "编辑@example.com", "编辑@example.com"),
    ],
)
def test_a_return_path_tells_the_delivery_where_there_is_room(
    address: str | None, sender: str, pattern: str
) -> None:
    for delivery in tokens():
        path = paths(address).path(sender, delivery)
        assert path == pattern.format(RING.sign_return(delivery))
        assert len(path.rpartition("@")[0]) <= 64


def test_a_return_path_that_cannot_be_written_is_told_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"returns\.address"):
        paths("bounces@-example.com")
