"""Feed readers that people use list every entry: English, Chinese, and with enclosures.

`tests/clients/install` installs them (`tests/clients/install all` also the one that needs a
display). What this machine lacks is skipped, and said.
"""

import json
import mailbox
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from email import policy
from email.parser import BytesParser
from pathlib import Path

import feedparser
import pytest
from served_press import Press

pytestmark = pytest.mark.client
NPM = Path(__file__).parents[2] / ".clients"
XML = ("rss.xml", "atom.xml")


def need(*programs: str) -> None:
    """Skip, and say so, where a program is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (run tests/clients/install)")


def run(*command: str | Path, cwd: Path | None = None, home: Path | None = None) -> str:
    """What a program prints; its failure is the test's."""
    environ = {"HOME": str(home or cwd or Path.cwd()), "LANG": "C.UTF-8", "PATH": _path()}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environ,
        capture_output=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode()


def _path() -> str:
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.mark.parametrize("name", XML)
def test_feedparser_lists_every_entry(press: Press, name: str) -> None:
    feed = feedparser.parse(press.feed(name))
    assert not feed.bozo
    assert {entry.title for entry in feed.entries} == press.titles
    files = {one.href for entry in feed.entries for one in entry.get("enclosures", [])}
    assert files == press.enclosures
    assert all(entry.link.startswith(f"{press.url}/articles/") for entry in feed.entries)


@pytest.mark.parametrize("name", XML)
def test_newsboat_lists_every_entry(press: Press, name: str, tmp_path: Path) -> None:
    need("newsboat")
    (tmp_path / "urls").write_text(press.feed(name) + "\n")
    (tmp_path / "config").write_text("")
    options = ("-u", "urls", "-c", "cache.db", "-C", "config")
    for _ in range(3):  # it keeps validators from the second on, and then gets 304s
        run("newsboat", *options, "-x", "reload", cwd=tmp_path)
    assert run("newsboat", *options, "-x", "print-unread", cwd=tmp_path).split()[0] == "6"
    with sqlite3.connect(tmp_path / "cache.db") as cache:
        rows = cache.execute("SELECT title, enclosure_url FROM rss_item").fetchall()
    assert {title for title, _ in rows} == press.titles
    assert {url for _, url in rows if url} == press.enclosures


@pytest.mark.parametrize("name", XML)
def test_sfeed_lists_every_entry(press: Press, name: str, tmp_path: Path) -> None:
    need("sfeed", "curl")
    (tmp_path / "feed").write_text(run("curl", "-sS", press.feed(name), cwd=tmp_path))
    with (tmp_path / "feed").open("rb") as feed:
        done = subprocess.run(["sfeed", press.url], stdin=feed, capture_output=True, check=True)
    lines = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert {fields[1] for fields in lines} == press.titles
    assert {fields[7] for fields in lines if fields[7]} == press.enclosures


@pytest.mark.parametrize("name", XML)
def test_rss2email_mails_every_entry_once(press: Press, name: str, tmp_path: Path) -> None:
    need("r2e")
    inbox = tmp_path / "inbox"
    for part in ("cur", "new", "tmp"):
        (inbox / "Mail" / part).mkdir(parents=True)
    r2e = ("r2e", "-c", "config.cfg", "-d", "data.json")
    run(*r2e, "new", "li.lei@example.com", cwd=tmp_path)
    config = (tmp_path / "config.cfg").read_text()
    for old, new in (
        ("email-protocol = sendmail", "email-protocol = maildir"),
        ("maildir-path = ~/Maildir", f"maildir-path = {inbox}"),
        ("maildir-mailbox = INBOX", "maildir-mailbox = Mail"),
    ):
        assert old in config
        config = config.replace(old, new)
    (tmp_path / "config.cfg").write_text(config)
    run(*r2e, "add", "all", press.feed(name), cwd=tmp_path)
    for _ in range(2):
        run(*r2e, "run", cwd=tmp_path)
    parser = BytesParser(policy=policy.default)
    box = mailbox.Maildir(str(inbox / "Mail"))
    mails = [parser.parsebytes(box.get_bytes(key)) for key in box.keys()]  # noqa: SIM118
    assert sorted(str(mail["Subject"]) for mail in mails) == sorted(press.titles)


@pytest.mark.parametrize("name", XML)
def test_liferea_lists_every_entry(press: Press, name: str, tmp_path: Path) -> None:
    need("liferea", "xvfb-run", "dbus-run-session")
    store = tmp_path / ".local/share/liferea/liferea.db"
    command: Sequence[str] = (
        *("timeout", "40", "xvfb-run", "-a", "dbus-run-session", "liferea"),
        f"--add-feed={press.feed(name)}",
    )
    environ = {"HOME": str(tmp_path), "LANG": "C.UTF-8", "PATH": _path()}
    with (tmp_path / "said.txt").open("wb") as said:
        process = subprocess.Popen(command, env=environ, stdout=said, stderr=said)
    try:
        for _ in range(80):
            if _titles_in(store) >= press.titles:
                break
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
                break
    finally:
        process.terminate()
        process.wait(20)
    assert _titles_in(store) == press.titles, (tmp_path / "said.txt").read_text()


def _titles_in(store: Path) -> set[str]:
    try:
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as rows:
            titles = rows.execute("SELECT title FROM items WHERE title <> ''").fetchall()
    except sqlite3.OperationalError:  # it has not made it yet
        return set()
    return {title for (title,) in titles}


@pytest.mark.parametrize(
    ("package", "name"),
    [("rss-parser", "rss.xml"), ("rss-parser", "atom.xml")]
    + [("feedsmith", name) for name in (*XML, "feed.json")],
)
def test_packages_of_node_list_every_entry(press: Press, package: str, name: str) -> None:
    need("node")
    if not (NPM / "node_modules" / package).is_dir():
        pytest.skip(f"{package} is not installed (run tests/clients/install)")
    script = Path(__file__).with_name("readers.cjs")
    entries = json.loads(run("node", script, NPM, package, press.feed(name)))["entries"]
    assert {entry["title"] for entry in entries} == press.titles
    assert all(entry["link"].startswith(f"{press.url}/articles/") for entry in entries)
    if (package, name) != ("rss-parser", "atom.xml"):  # it knows no enclosures of Atom
        assert {url for one in entries for url in one["enclosures"]} == press.enclosures
