"""Signatures, verified by programs that are not ours: dkimpy, and OpenDKIM if installed."""

import os
import re
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from feedsvc.config_sending import DkimKeySettings
from feedsvc.errors import ConfigError, KeyFileError
from feedsvc.messages.assemble import CohortMessage, Draft, Recipient, notice_draft
from feedsvc.messages.dkim import Signers, relax_body, relax_field
from feedsvc.messages.dkim_keys import DkimKey, PrivateKey, make_private_key, read_private_key
from feedsvc.messages.mime import is_relaxed
from feedsvc.messages.render import RenderedMail
from feedsvc.messages.splice import Slot, marker
from feedsvc.model.newsletter import Newsletter

DATE = datetime(2026, 11, 22, 0, 0, 3, tzinfo=UTC)
ID = "c2qv4h7n@example.com"
BODY = f"Dear {marker(Slot.NAME)},\n\ttwo  blanks, {marker(Slot.UNSUBSCRIBE_URL)} \n\n\n"
MAIL = RenderedMail("晨报：The council met  again", html=BODY, text=BODY)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PrivateKey]:
    folder = tmp_path_factory.mktemp("dkim")
    return {
        name: make_private_key(folder / f"{name}.pem", is_rsa=name != "edward")
        for name in ("rsa1", "rsa2", "edward")
    }


@pytest.fixture
def signers(keys: dict[str, PrivateKey]) -> Signers:
    return Signers(
        [
            DkimKey("edward", "example.com", keys["edward"]),
            DkimKey("rsa1", "example.com", keys["rsa1"]),
            DkimKey("old", "example.com", keys["rsa2"], is_active=False),
        ]
    )


@pytest.fixture
def draft(chenbao: Newsletter, alice: Recipient) -> Draft:
    cohort = CohortMessage(MAIL, chenbao, "example.com", ("e1", "chenbao", "digest"))
    return cohort.build(alice, DATE, ID)


def sign(signers: Signers, draft: Draft, selectors: tuple[str, ...] = ("rsa1", "edward")) -> bytes:
    signature = signers.sign(draft.fields, draft.body, selectors, DATE, is_relaxed=draft.is_relaxed)
    return draft.join(signature)


def dns_of(signers: Signers) -> Callable[..., bytes | None]:
    records = {f"{key.record.name}.".encode(): key.record.value.encode() for key in signers.keys}
    return lambda name, timeout=5: records.get(bytes(name))


def verify(signers: Signers, content: bytes, signature: int = 0) -> bool:
    try:
        return bool(dkim.DKIM(content).verify(signature, dnsfunc=dns_of(signers)))
    except dkim.ValidationError:
        return False


def tags(content: bytes) -> dict[str, str]:
    """The tags of the first signature."""
    field = content.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ").split(b"\r\n")[0]
    pairs = (tag.split("=", 1) for tag in field.decode().partition(":")[2].split(";"))
    return {name.strip(): re.sub(r"\s", "", value) for name, value in pairs}


def test_both_signatures_of_a_digest_verify(signers: Signers, draft: Draft) -> None:
    content = sign(signers, draft)
    assert verify(signers, content, 0)
    assert verify(signers, content, 1)
    assert content.count(b"DKIM-Signature:") == 2


def test_a_signature_says_what_it_covers(signers: Signers, draft: Draft) -> None:
    said = tags(sign(signers, draft))
    assert (said["v"], said["a"], said["c"]) == ("1", "rsa-sha256", "relaxed/relaxed")
    assert (said["d"], said["s"], said["t"]) == ("example.com", "rsa1", str(int(DATE.timestamp())))
    assert said.keys() == {"v", "a", "c", "d", "s", "t", "h", "bh", "b"}
    names = said["h"].split(":")
    twice = {"from", "to", "subject", "date"}
    once = {
        *("message-id", "list-id", "list-post", "list-unsubscribe", "list-unsubscribe-post"),
        *("feedback-id", "mime-version", "content-type"),
    }
    assert {name for name in names if names.count(name) == 2} == twice
    assert {name for name in names if names.count(name) == 1} == once


def test_the_same_mail_is_signed_the_same_at_any_time(signers: Signers, draft: Draft) -> None:
    assert sign(signers, draft) == sign(signers, draft)


def test_what_is_signed_keeps_within_the_lines_of_a_header(signers: Signers, draft: Draft) -> None:
    content = sign(signers, draft)
    fields = content[: content.index(b"From:")]
    assert max(map(len, fields.split(b"\r\n"))) <= 78
    content.decode("ascii")


CHANGES = {
    "subject": (b"\r\nSubject: ", b"\r\nSubject: x"),
    "sender": (b"news@example.com", b"news@example.org"),
    "recipient": (b"<alice@", b"<mallory@"),
    "date": (b"00:00:03", b"00:00:04"),
    "one-click": (b"=One-Click", b"=Two-Click"),
    "where to unsubscribe": (b"List-Unsubscribe: <https://n", b"List-Unsubscribe: <https://x"),
    "list": (b"chenbao.example.com", b"chenbaa.example.com"),
    "feedback": (b"e1:chenbao", b"e2:chenbao"),
    "body": (b"RGVhc", b"RGVhd"),
    "boundary": (b'boundary="=_', b'boundary="=x'),
    "body added": (b"--\r\n", b"--\r\nx\r\n"),
    "second From": (b"From: ", b"From: <x@example.org>\r\nFrom: "),
    "second Subject": (b"\r\nSubject: ", b"\r\nSubject: x\r\nSubject: "),
    "second To": (b"\r\nTo: ", b"\r\nTo: x@example.org\r\nTo: "),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("selector", ["rsa1", "edward"])
def test_a_mail_that_was_changed_does_not_verify(
    signers: Signers, draft: Draft, change: str, selector: str
) -> None:
    content = sign(signers, draft, (selector,))
    tampered = content.replace(*CHANGES[change], 1)
    assert tampered != content
    assert not verify(signers, tampered)


def test_a_relay_that_folds_anew_breaks_nothing(signers: Signers, draft: Draft) -> None:
    content = sign(signers, draft)
    folded = content.replace(b"List-Id: ", b"list-id:  \t").replace(
        b"One-Click\r\n", b"One-Click \r\n"
    )
    assert folded != content
    assert verify(signers, folded)


NAMES = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))
    | st.sampled_from(' "<>@,;:\\()=?_晨报é🎉'),
    max_size=120,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(subject=NAMES, name=NAMES, body=NAMES)
@example(subject="", name="", body="")
@example(subject="a" * 400, name="b c " * 25, body="x")
def test_digests_and_notices_of_all_sorts_verify(
    signers: Signers, chenbao: Newsletter, alice: Recipient, subject: str, name: str, body: str
) -> None:
    mail = replace(MAIL, subject=subject, html=f"{BODY}{body}\n")
    cohort = CohortMessage(mail, chenbao, "example.com", ("e1", "chenbao", "digest"))
    person = replace(alice, name=name)
    digest = cohort.build(person, DATE, ID)
    notice = notice_draft(mail, chenbao, person, DATE, ID)
    assert (digest.is_relaxed, notice.is_relaxed) == (True, False)
    for draft in (digest, notice):
        assert relax_body(b"".join(draft.body)) == b"".join(draft.body)
        assert verify(signers, sign(signers, draft))
    assert "auto-submitted" in tags(sign(signers, notice))["h"].split(":")


def test_a_body_with_blanks_of_all_kinds_is_signed_as_others_read_it(signers: Signers) -> None:
    fields = [b"From: a@example.com\r\n", b"Subject:  a \t b\r\n  c \r\n"]
    assert relax_field(fields[1]) == b"subject:a b c\r\n"
    bodies = [b"", b"\r\n", b"a\tb  c \t\r\n \r\nd\r\n\r\n \t\r\n\r\n", b" a\r\n", b"\r\n\r\na\r\n"]
    for body in bodies:
        signature = signers.sign(fields, [body], ("rsa1",), DATE)
        assert verify(signers, b"".join([signature, *fields, b"\r\n", body])), body


def test_several_fields_of_one_name_are_signed_from_the_last_one_up(signers: Signers) -> None:
    fields = [
        b"From: a@example.com\r\n",
        b"Reply-To: a@a.example\r\n",
        b"Reply-To: b@a.example\r\n",
    ]
    content = b"".join([signers.sign(fields, [b"x\r\n"], ("rsa1",), DATE), *fields, b"\r\nx\r\n"])
    assert verify(signers, content)


@pytest.mark.client
def test_opendkim_agrees(signers: Signers, draft: Draft, tmp_path: Path) -> None:
    program = shutil.which("opendkim", path=f"{os.environ.get('PATH')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("NO OPENDKIM: signatures are verified by dkimpy alone (apt install opendkim)")
    records = "".join(f"{key.record.name} {key.record.value}\n" for key in signers.keys)
    (tmp_path / "dns").write_text(records)
    (tmp_path / "conf").write_text(f"Mode v\nTestDNSData {tmp_path / 'dns'}\nSyslog no\n")

    def said_of(content: bytes) -> str:
        (tmp_path / "mail").write_bytes(content)
        command = [program, "-x", tmp_path / "conf", "-t", tmp_path / "mail", "-v"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    content = sign(signers, draft, ("rsa1",))
    assert "verification (s=rsa1, d=example.com, 2048-bit key) succeeded" in said_of(content)
    for old, new in CHANGES.values():
        assert "succeeded" not in said_of(content.replace(old, new, 1))


def test_a_key_signs_for_its_domain_and_those_below(signers: Signers) -> None:
    for domain in ("example.com", "news.example.com", "EXAMPLE.com", "a.b.example.com"):
        assert signers.for_domain(domain) == ("rsa1", "edward")
    for domain in ("badexample.com", "example.org", "com", "example.com.evil.example", ""):
        assert signers.for_domain(domain) == ()


@pytest.mark.parametrize(
    ("signed_with", "selectors"),
    [
        (None, ("rsa1", "edward")),
        ("", ()),
        ("edward", ("edward",)),
        ("old", ("old",)),
        ("old edward", ("old", "edward")),
        ("gone edward", ("edward",)),
        ("gone", ("rsa1", "edward")),
    ],
)
def test_a_resend_is_signed_as_the_mail_was(
    signers: Signers, signed_with: str | None, selectors: tuple[str, ...]
) -> None:
    assert signers.choose("example.com", signed_with) == selectors


def test_a_mail_that_nobody_signs_stays_as_it_is(draft: Draft) -> None:
    assert sign(Signers(), draft, ()) == draft.join()


def configured(path: Path, **more: object) -> DkimKeySettings:
    return DkimKeySettings.model_validate({"file": path, "domain": "example.com", **more})


def test_configured_keys_are_read_from_their_files(tmp_path: Path) -> None:
    make_private_key(tmp_path / "data" / "a.pem", is_rsa=True)
    make_private_key(tmp_path / "b.pem", is_rsa=False)
    signers = Signers.load(
        {
            "s1": configured(Path("data/a.pem")),
            "s2": configured(tmp_path / "b.pem", domain="例子.广告", active=False),
        },
        tmp_path,
    )
    facts = [(key.selector, key.domain, key.algorithm, key.is_active) for key in signers.keys]
    assert facts == [
        ("s1", "example.com", "rsa-sha256", True),
        ("s2", "xn--fsqu00a.xn--4rr70v", "ed25519-sha256", False),
    ]


def pem(key: object, passphrase: bytes | None = None) -> bytes:
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    locked: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        locked = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, locked
    )


@pytest.fixture(scope="session")
def files(keys: dict[str, PrivateKey]) -> dict[str, bytes]:
    small = rsa.generate_private_key(65537, 1024)
    return {
        "small": pem(small),
        "curve": pem(ec.generate_private_key(ec.SECP256R1())),
        "locked": pem(small, b"secret"),
        "public": small.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        "empty": b"",
        "text": b"v=DKIM1; k=rsa\n",
        "good": pem(keys["rsa1"]),
    }


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("small", "RSA key of 1024 bits; receivers want 2048 to 4096: make one by"),
        ("curve", "neither an RSA nor an Ed25519 key"),
        ("locked", "without a passphrase"),
        ("public", "not a private key in PEM; make one by: feedsvc dkim new"),
        ("empty", "not a private key in PEM"),
        ("text", "not a private key in PEM"),
        ("missing", "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_usable_key_is_refused_with_the_remedy(
    tmp_path: Path, files: dict[str, bytes], name: str, problem: str
) -> None:
    path = tmp_path / "k.pem"
    if name in files:
        path.write_bytes(files[name])
        path.chmod(0o600)
    with pytest.raises(ConfigError, match=problem) as raised:
        Signers.load({"s1": configured(path)}, tmp_path)
    assert str(raised.value).startswith(f"dkim.s1.file: {path}: ")


def test_a_key_of_other_tools_is_taken(tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "k.pem").write_bytes(files["good"])
    (tmp_path / "k.pem").chmod(0o400)
    assert read_private_key(tmp_path / "k.pem")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    make_private_key(tmp_path / "k.pem", is_rsa=False)
    (tmp_path / "k.pem").chmod(mode)
    with pytest.raises(ConfigError, match=r"dkim\.s1\.file: .*k\.pem: others may.*chmod 600"):
        Signers.load({"s1": configured(Path("k.pem"))}, tmp_path)


def test_every_key_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        Signers.load(
            {name: configured(Path(f"{name}.pem")) for name in ("a", "b", "c_d", "e-")}, tmp_path
        )
    lines = str(raised.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        *("dkim.a.file", "dkim.b.file", "dkim.c_d", "dkim.e-")
    ]


def test_a_mail_has_at_most_three_signatures(tmp_path: Path) -> None:
    for number in range(4):
        make_private_key(tmp_path / f"{number}.pem", is_rsa=False)
    settings = {f"s{n}": configured(Path(f"{n}.pem")) for n in range(4)}
    with pytest.raises(ConfigError, match=r"example\.com would have 4 .*active = false"):
        Signers.load(settings, tmp_path)
    settings["s0"] = configured(Path("0.pem"), active=False)
    assert Signers.load(settings, tmp_path).for_domain("example.com") == ("s1", "s2", "s3")


def test_a_new_key_is_private_and_never_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "data" / "k.pem"
    made = make_private_key(path, is_rsa=True)
    before = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["k.pem"]
    with pytest.raises(KeyFileError, match="already"):
        make_private_key(path, is_rsa=True)
    assert path.read_bytes() == before
    loaded = read_private_key(path)
    one, other = DkimKey("s", "e.org", made), DkimKey("s", "e.org", loaded)
    assert one.record == other.record
    with pytest.raises(KeyFileError, match="cannot be written"):
        make_private_key(path / "below" / "k.pem", is_rsa=False)


def test_a_record_has_the_key_in_strings_that_dns_can_hold(signers: Signers) -> None:
    by_selector = {key.selector: key.record for key in signers.keys}
    record = by_selector["rsa1"]
    assert record.name == "rsa1._domainkey.example.com"
    assert record.value.startswith("v=DKIM1; k=rsa; p=")
    assert [len(one) for one in record.strings] == [255, len(record.value) - 255]
    assert "".join(record.strings) == record.value
    assert "".join(re.findall(r'"([^"]*)"', record.zone_line)) == record.value
    raw = b64encode(b"x" * 32)
    assert len(by_selector["edward"].value) == len(b"v=DKIM1; k=ed25519; p=" + raw)


def test_a_key_does_not_show_itself(signers: Signers) -> None:
    assert all("private" not in repr(key) for key in signers.keys)


@pytest.mark.parametrize("line", [b"a\tb\r\n", b"a  b\r\n", b"a \r\n"])
def test_a_line_that_would_be_relaxed_is_seen(line: bytes) -> None:
    assert not is_relaxed(line)
    assert relax_body(line) != line
