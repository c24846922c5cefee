"""`dkim new` and `dkim show`: keys, what DNS is told, and who is signed."""

import re
import subprocess
import tomllib
from base64 import b64encode

import dkim
import pytest
from command_line import CONFIG, Newsroom

from feedsvc.messages.dkim_keys import read_private_key


def configured(newsroom: Newsroom, lines: list[str], *more: str) -> None:
    newsroom.configure("\n".join([CONFIG, *lines, *more]) + "\n")


def test_a_new_key_comes_with_its_record_and_its_configuration(bare: Newsroom) -> None:
    bare.configure()
    made = bare.do("dkim", "new", "s2026", "--domain", "example.com", "--json").json
    path = bare.folder / "data" / "dkim" / "s2026.pem"
    assert (made["file"], made["algorithm"]) == (str(path), "rsa-sha256")
    assert path.stat().st_mode & 0o777 == 0o600
    assert made["record"]["name"] == "s2026._domainkey.example.com"
    # OpenSSL reads the same public key out of the file.
    command = ["openssl", "pkey", "-in", path, "-pubout", "-outform", "DER"]
    public = subprocess.run(command, capture_output=True, check=True).stdout
    assert made["record"]["value"] == f"v=DKIM1; k=rsa; p={b64encode(public).decode()}"
    assert "".join(made["record"]["strings"]) == made["record"]["value"]
    assert max(map(len, made["record"]["strings"])) <= 255
    assert tomllib.loads("\n".join(made["lines"])) == {
        "dkim": {"s2026": {"file": "data/dkim/s2026.pem", "domain": "example.com"}}
    }
    assert list(bare.folder.glob("data/**/*.pem")) == [path]


def test_people_are_told_what_to_put_where(bare: Newsroom) -> None:
    bare.configure()
    said = bare.do("dkim", "new", "s1", "--domain", "例子.广告").out
    name = "s1._domainkey.xn--fsqu00a.xn--4rr70v"
    lines = [line.strip() for line in said.splitlines()]
    assert f"name   {name}" in lines
    (value,) = (line.removeprefix("value  ") for line in lines if line.startswith("value"))
    (zone,) = (line.removeprefix("zone   ") for line in lines if line.startswith("zone"))
    assert zone.startswith(f"{name}. IN TXT ( ")
    assert len(re.findall(r'"([^"]*)"', zone)) == 2
    assert "".join(re.findall(r'"([^"]*)"', zone)) == value
    assert lines[lines.index("[dkim.s1]") + 1] == 'file = "data/dkim/s1.pem"'


def test_a_key_is_never_made_in_place_of_another(bare: Newsroom) -> None:
    bare.configure()
    bare.do("dkim", "new", "s1", "--domain", "example.com", "--file", "my.pem", "--ed25519")
    before = (bare.folder / "my.pem").read_bytes()
    outcome = bare.run("dkim", "new", "s2", "--domain", "example.com", "--file", "my.pem")
    assert outcome.code == 1
    assert "my.pem: there is a key file already" in outcome.err
    assert (bare.folder / "my.pem").read_bytes() == before


def test_a_key_that_is_configured_but_not_there_is_made_there(bare: Newsroom) -> None:
    configured(bare, ["[dkim.s1]", 'file = "keys/一.pem"', 'domain = "example.com"'])
    assert "cannot be read: No such file" in bare.run("dkim", "show").err
    bare.do("dkim", "new", "s1", "--domain", "example.com")
    assert read_private_key(bare.folder / "keys" / "一.pem")
    assert bare.do("dkim", "show", "--json").json["keys"][0]["newsletters"] == ["daily"]


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (("s_1", "--domain", "example.com"), "a selector has"),
        (("../../s1", "--domain", "example.com"), "a selector has"),
        (("S1", "--domain", "example.com"), "a selector has"),
        (("s1", "--domain", "exa mple.com"), "not a domain"),
        (("s1",), "--domain"),
    ],
)
def test_a_call_that_makes_no_key_says_why(
    bare: Newsroom, call: tuple[str, ...], problem: str
) -> None:
    bare.configure()
    outcome = bare.run("dkim", "new", *call)
    assert (outcome.code, outcome.out) == (2, "")
    assert problem in " ".join(outcome.err.replace("│", " ").split())
    assert [path.name for path in bare.folder.iterdir()] == ["config.toml"]


def test_keys_are_shown_with_the_newsletters_they_sign(bare: Newsroom) -> None:
    bare.configure()
    lines: list[str] = []
    for selector, domain in (("s1", "example.com"), ("s2", "example.com"), ("s3", "example.org")):
        called = ("dkim", "new", selector, "--domain", domain, "--ed25519", "--json")
        lines += bare.do(*called).json["lines"]
        if selector == "s2":
            lines += ["active = false"]
    weekly = CONFIG[CONFIG.index("[newsletters.daily]") :]
    weekly = weekly.replace("newsletters.daily", "newsletters.weekly")
    configured(bare, lines, weekly.replace("news@example.com", "news@mail.example.com"))
    facts = bare.do("dkim", "show", "--json").json
    assert facts["unsigned"] == []
    shown = {one["selector"]: one for one in facts["keys"]}
    assert {key: one["newsletters"] for key, one in shown.items()} == {
        "s1": ["daily", "weekly"],
        "s2": [],
        "s3": [],
    }
    assert [one["active"] for one in shown.values()] == [True, False, True]
    assert shown["s1"]["record"]["value"].startswith("v=DKIM1; k=ed25519; p=")
    said = bare.do("dkim", "show").out
    assert "signs  daily, weekly\n" in said
    assert "signs  nothing new: active = false\n" in said
    assert "signs  no newsletter\n" in said
    alone = bare.do("dkim", "show", "s3").out
    assert "s3._domainkey.example.org" in alone
    assert "s1" not in alone
    assert "no key has the selector 's4'" in bare.run("dkim", "show", "s4").err


def test_newsletters_that_nobody_signs_are_told(bare: Newsroom) -> None:
    bare.configure()
    said = bare.do("dkim", "show").out
    assert "Make one by: feedsvc dkim new" in said
    assert "Not signed here: daily\n" in said


def test_mail_is_signed_as_configured(newsroom: Newsroom) -> None:
    made = newsroom.do("dkim", "new", "s1", "--domain", "example.com", "--json").json
    configured(newsroom, made["lines"])
    newsroom.do("ingest")
    newsroom.do("subscribers", "add", "bob@example.com", "-n", "daily", "--confirmed")
    newsroom.publish("night.md", "夜市回来了")
    newsroom.do("send", "daily", "--json")
    (mail,) = newsroom.mails()
    record = made["record"]["value"].encode()
    assert mail.read_bytes().count(b"d=example.com;\r\n s=s1;") == 1
    assert dkim.verify(mail.read_bytes(), dnsfunc=lambda name, timeout=5: record)


def test_a_key_that_others_may_read_keeps_everything_from_starting(newsroom: Newsroom) -> None:
    made = newsroom.do("dkim", "new", "s1", "--domain", "example.com", "--json").json
    (newsroom.folder / "data" / "dkim" / "s1.pem").chmod(0o644)
    configured(newsroom, made["lines"])
    outcome = newsroom.run("publish")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("dkim.s1.file: ")
    assert "chmod 600" in outcome.err
