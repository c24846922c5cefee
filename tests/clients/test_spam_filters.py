"""Spam filters as they are shipped find nothing to say against a digest, English or Chinese.

What this machine lacks is skipped, and said.
"""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from spam_lab import Mail, ask_rspamd, make_demo_digests, open_rspamd

pytestmark = pytest.mark.client

#: Points of SpamAssassin that a digest may have; 5 are spam.
_POINTS = 0.5
#: Of any one symbol of rspamd; 15 are spam.
_WEIGHT = 0.2
#: What is no mail's doing: who hands it over, which here is a name and an address that no DNS
#: knows, as rspamd is told of them.
_OF_THE_LAB = re.compile(r"HFILTER_\w+")


@pytest.fixture(scope="module")
def digests(tmp_path_factory: pytest.TempPathFactory) -> list[Mail]:
    mails = asyncio.run(make_demo_digests(tmp_path_factory.mktemp("demo")))
    assert len(mails) == 3
    assert all(b"\r\nDKIM-Signature: " in mail.content for mail in mails)
    return mails


@pytest.fixture(scope="module")
def rspamd() -> Iterator[str]:
    if shutil.which("rspamd") is None:
        pytest.skip("not installed: rspamd (Debian: apt-get install rspamd)")
    with open_rspamd() as url:
        yield url


def test_spamassassin_gives_a_digest_next_to_no_points(digests: list[Mail], tmp_path: Path) -> None:
    if shutil.which("spamassassin") is None:
        pytest.skip("not installed: spamassassin (Debian: apt-get install spamassassin)")
    for mail in digests:
        done = subprocess.run(
            ["spamassassin", "-t", "-L", "--prefspath", str(tmp_path / "prefs")],
            input=mail.content,
            capture_output=True,
            check=True,
            timeout=60,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        )
        report = done.stdout.decode(errors="replace").rpartition("Content analysis details:")[2]
        points = re.match(r"\s+\((-?[\d.]+) points", report)
        assert points is not None, done.stderr
        assert float(points[1]) < _POINTS, report


def test_no_symbol_of_rspamd_weighs_on_a_digest(digests: list[Mail], rspamd: str) -> None:
    for mail in digests:
        symbols = ask_rspamd(rspamd, mail)
        assert "MIME_GOOD" in symbols  # it has looked
        heavy = {name: weight for name, weight in symbols.items() if weight > _WEIGHT}
        ours = {name: weight for name, weight in heavy.items() if not _OF_THE_LAB.fullmatch(name)}
        assert not ours, mail.recipient


def test_rspamd_sees_what_is_wrong_with_a_mail(digests: list[Mail], rspamd: str) -> None:
    content = digests[0].content.replace(b"\r\nDate: ", b"\r\nX-Date: ", 1)
    spoilt = Mail(digests[0].return_path, digests[0].recipient, content)
    assert ask_rspamd(rspamd, spoilt)["MISSING_DATE"] > _WEIGHT
