"""What depends on the process: its locale, its neighbours, the port and the database."""

import fcntl
import json
import os
import re
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import pytest
from command_line import CONFIG, PATIENCE_SECONDS, Newsroom, Starter, run_anew, running

NOWHERE = "postgresql://feedsvc:hunter2@127.0.0.1:1/feedsvc"

# Locales

LOCALES = {
    "LC_ALL=C": {"LC_ALL": "C"},
    "POSIX with Python's remedies off": {
        "LC_ALL": "POSIX",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    },
}


@pytest.mark.parametrize("locale", LOCALES.values(), ids=LOCALES)
def test_chinese_comes_through_in_every_locale(bare: Newsroom, locale: dict[str, str]) -> None:
    bare.configure(CONFIG.replace('path = "articles"', 'path = "文章"'))
    folder = bare.folder / "文章"
    folder.mkdir()
    (folder / "夜市.md").write_text("---\ntitle: 夜市回来了\n---\n\n正文。\n", encoding="utf-8")
    (folder / "坏的.md").write_text("没有标题。\n", encoding="utf-8")
    options = ["-n", "daily", "--confirmed", "--name", "李雷"]
    added = run_anew(bare.folder, "subscribers", "add", "li.lei@example.com", *options, **locale)
    assert (added.returncode, added.stderr) == (0, b"")

    calls = [("ingest",), ("subscribers", "list")]
    with ThreadPoolExecutor() as pool:
        ingested, listed = pool.map(lambda call: run_anew(bare.folder, *call, **locale), calls)
    assert {ingested.returncode, listed.returncode} == {0}
    assert f"{folder}/坏的.md:1: " in ingested.stderr.decode()
    assert "李雷" in listed.stdout.decode()
    assert bare.rows("SELECT name FROM subscriber") == [("李雷",)]
    assert bare.rows("SELECT title FROM article") == [("夜市回来了",)]


def test_a_terminal_of_ascii_alone_gets_signs_in_place_of_chinese_and_json_that_is_whole(
    newsroom: Newsroom,
) -> None:
    options = ["-n", "daily", "--confirmed", "--name", "李雷"]
    newsroom.do("subscribers", "add", "li.lei@example.com", *options)
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C.UTF-8"}
    calls = [("rehearse", "daily"), ("subscribers", "list", "--json")]
    with ThreadPoolExecutor() as pool:
        rehearsed, as_json = pool.map(
            lambda call: run_anew(newsroom.folder, *call, **ascii_only), calls
        )
    assert rehearsed.returncode == 0
    assert rb"(\u6bcf\u5e74\u5143\u65e6)" in rehearsed.stdout
    assert json.loads(as_json.stdout.decode("ascii"))["subscriptions"][0]["name"] == "李雷"


# A database that is away


@pytest.mark.parametrize("command", [("ingest",), ("send", "daily")], ids=" ".join)
def test_a_command_says_that_the_database_does_not_answer(
    newsroom: Newsroom, command: tuple[str, ...]
) -> None:
    outcome = newsroom.run(*command, FEEDSVC_DATABASE__URL=NOWHERE)
    assert (outcome.code, outcome.out) == (1, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith(
        "feedsvc: the database postgresql://feedsvc:***@127.0.0.1:1/feedsvc does not answer: "
    )


def test_serve_tries_again_until_the_database_answers_or_it_is_told_to_stop(
    newsroom: Newsroom,
) -> None:
    with running(newsroom.folder, "serve", FEEDSVC_DATABASE__URL=NOWHERE) as process:
        assert process.stderr is not None
        waits = [process.stderr.readline().rsplit("answer: ")[-1] for _ in range(2)]
        process.send_signal(signal.SIGTERM)
        out, rest = process.communicate(timeout=PATIENCE_SECONDS)
    assert [re.findall(r"Trying again in (\d+) s\.\n", wait) for wait in waits] == [["1"], ["2"]]
    assert (process.returncode, out, rest) == (0, "", "")


# Beside a running `serve`


@dataclass(frozen=True)
class Office(Newsroom):
    """A newsroom with `feedsvc serve` at work, listening on a port."""

    port: int


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, starter: Starter) -> Iterator[Office]:
    """Alice and 李雷 are subscribed to what `feedsvc serve` watches and sends."""
    newsroom = Newsroom(tmp_path_factory.mktemp("office"), starter)
    newsroom.configure()
    (newsroom.folder / "articles").mkdir()
    newsroom.do("ingest")
    for reader in ("alice", "li.lei"):
        newsroom.do("subscribers", "add", f"{reader}@example.com", "-n", "daily", "--confirmed")
    with running(newsroom.folder, "serve") as process:
        yield Office(newsroom.folder, starter, port_of(process))
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert "Traceback" not in said
    assert newsroom.rows("SELECT count(*) FROM delivery WHERE state != 'sent'") == [(0,)]


def port_of(process: "Popen[str]") -> int:
    """Wait until it serves; the port it listens on."""
    assert process.stdout is not None
    found = None
    for line in process.stdout:
        found = found or re.search(r" on port (\d+) ", line)
        if line.startswith("Stop with"):
            break
    assert found is not None
    return int(found[1])


def test_a_second_serve_on_the_same_database_is_refused(office: Office) -> None:
    outcome = office.run("serve")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        "feedsvc: another feedsvc process is sending on this database; stop it first, or leave"
        " the work to it\n"
    )


def test_a_port_that_is_taken_is_named(office: Office, newsroom: Newsroom) -> None:
    outcome = newsroom.run("serve", FEEDSVC_SERVER__PORT=str(office.port))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.splitlines()[-1] == (
        f"feedsvc: cannot listen on 127.0.0.1 port {office.port}: Address already in use. Is"
        " feedsvc running already? Otherwise set server.port to another one, and base_url with it."
    )


def test_a_host_that_is_not_ours_is_named(newsroom: Newsroom) -> None:
    outcome = newsroom.run("serve", FEEDSVC_SERVER__HOST="192.0.2.1")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.splitlines()[-1].startswith(
        "feedsvc: cannot listen on 192.0.2.1 port 0: Cannot assign requested address."
    )


def test_send_beside_serve_leaves_the_sending_to_it_and_follows(office: Office) -> None:
    office.publish("night.md", "夜市回来了")
    outcome = office.do("send", "daily", "--json")
    assert outcome.err == "feedsvc serve sends it; this shows how far it is.\n"
    report = outcome.json
    assert (report["state"], report["deliveries"]) == ("done", {"sent": 2})
    assert len(office.mails()) == 2


def test_send_goes_on_by_itself_when_who_was_sending_ends_before(newsroom: Newsroom) -> None:
    newsroom.do("ingest")
    newsroom.do("subscribers", "add", "alice@example.com", "-n", "daily", "--confirmed")
    newsroom.publish("night.md", "夜市回来了")
    # What tells a sender that is alive from one that is dead is its lock on this file.
    with (newsroom.folder / "data" / "feedsvc.db.sender.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with running(newsroom.folder, "send", "daily") as sender:
            assert sender.stderr is not None
            assert sender.stderr.readline().startswith("feedsvc serve sends it")
            assert newsroom.mails() == []
            fcntl.flock(lock, fcntl.LOCK_UN)
            said, rest = sender.communicate(timeout=PATIENCE_SECONDS)
    assert (sender.returncode, said) == (0, "edition 1: done\n  1 sent\n"), rest
    assert len(newsroom.mails()) == 1


def test_commands_read_beside_serve(office: Office) -> None:
    assert office.do("rehearse", "daily", "--json").json[0]["newsletter"] == "daily"
    assert office.do("subscribers", "list", "--json").json["counts"]["active"] == 2


def test_a_database_file_that_is_none_is_said(newsroom: Newsroom) -> None:
    path = newsroom.folder / "data" / "feedsvc.db"
    path.write_text("这不是数据库\n" * 1000, encoding="utf-8")
    outcome = newsroom.run("ingest")
    assert outcome.code == 1
    assert outcome.err.splitlines() == [
        f"feedsvc: the database sqlite:///{path} does not answer: file is not a database"
    ]


def test_a_database_of_a_newer_version_is_refused(newsroom: Newsroom) -> None:
    newsroom.do("ingest")
    with closing(sqlite3.connect(newsroom.folder / "data" / "feedsvc.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999_future'")
        connection.commit()
    outcome = newsroom.run("ingest")
    assert (outcome.code, outcome.out) == (1, "")
    assert "newer version of feedsvc" in outcome.err


def test_output_into_a_pipe_that_nobody_reads_ends_quietly(newsroom: Newsroom) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run_anew(newsroom.folder, "check-config", stdout=writer)
    finally:
        os.close(writer)
    assert done.stderr == b""


def test_the_folder_of_the_database_is_made(newsroom: Newsroom) -> None:
    newsroom.do("ingest", FEEDSVC_DATABASE__URL="sqlite:///深/处/feedsvc.db")
    assert Path(newsroom.folder, "深", "处", "feedsvc.db").is_file()
