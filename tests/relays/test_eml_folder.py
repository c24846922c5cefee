"""Mails as files: whole, once each, and readable by a mail program."""

import email
import email.policy
import os
from pathlib import Path
from typing import Any

import pytest

from feedsvc.errors import RelayUnavailable
from feedsvc.model.relay import Envelope, Verdict
from feedsvc.relays.eml_folder import EmlFolderRelay, file_name

pytestmark = pytest.mark.anyio

LILEI = Envelope("b+7@example.com", "lilei@xn--fsqu00a.xn--4rr70v")
MESSAGE = (
    b"From: News <news@example.com>\r\nSubject: =?utf-8?b?5pep5oql?=\r\n"
    b"Date: Sun, 22 Nov 2026 14:00:00 +0800\r\nMessage-ID: <7@example.com>\r\n\r\nHi\r\n"
)


async def test_a_file_can_be_read_by_a_mail_program(tmp_path: Path, permit: Any) -> None:
    connection = await EmlFolderRelay(tmp_path / "a" / "outbox").open()
    result = await connection.send(LILEI, MESSAGE, permit)
    path = tmp_path / "a" / "outbox" / result.text
    assert path.name.startswith("20261122T060000Z-")
    mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert mail["Return-Path"] == "<b+7@example.com>"
    assert mail["Delivered-To"] == LILEI.recipient
    assert mail["Subject"] == "早报"
    assert path.read_bytes().endswith(MESSAGE)


async def test_sending_the_same_mail_again_makes_no_second_file(
    tmp_path: Path, permit: Any
) -> None:
    connection = await EmlFolderRelay(tmp_path).open()
    for _ in range(2):
        assert (await connection.send(LILEI, MESSAGE, permit)).verdict is Verdict.ACCEPTED
    assert len(os.listdir(tmp_path)) == 1


def test_two_people_never_share_a_file() -> None:
    other = Envelope(LILEI.return_path, "alice@example.com")
    assert file_name(LILEI, MESSAGE) != file_name(other, MESSAGE)


@pytest.mark.parametrize("head", [b"", b"Date: soon\r\n", b"Date: Sun, 99 Nov 2026 25:00\r\n"])
def test_a_mail_without_a_date_has_a_name_all_the_same(head: bytes) -> None:
    name = file_name(LILEI, head + b"Subject: ../../x\r\n\r\nbody")
    assert name.startswith("undated-")
    assert "/" not in name


async def test_a_folder_that_cannot_be_made_is_said_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file")
    with pytest.raises(RelayUnavailable, match="outbox"):
        await EmlFolderRelay(tmp_path / "outbox").open()


async def test_a_folder_that_vanishes_leaves_the_mail_unsent(tmp_path: Path, permit: Any) -> None:
    folder = tmp_path / "outbox"
    connection = await EmlFolderRelay(folder).open()
    folder.rmdir()
    result = await connection.send(LILEI, MESSAGE, permit)
    assert result.verdict is Verdict.UNAVAILABLE


async def test_a_full_disk_leaves_the_mail_unsent_and_no_half_of_it(
    tmp_path: Path, permit: Any
) -> None:
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("no /dev/full")
    connection = await EmlFolderRelay(tmp_path).open()
    part = tmp_path / file_name(LILEI, MESSAGE)
    part.with_suffix(".part").symlink_to("/dev/full")
    result = await connection.send(LILEI, MESSAGE, permit)
    assert result.verdict is Verdict.UNAVAILABLE
    assert "space" in result.text
    assert os.listdir(tmp_path) == []
