"""feedsvc's command line in processes of its own, and a newsroom to run it in.

A test waits for the command, not for its imports: each command is forked from one process that
has imported everything and done nothing. What depends on how a process begins (locale, signals,
ports) is tested on processes that are started anew.
"""

import importlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: No command takes longer, on a machine that does other things too.
PATIENCE_SECONDS = 60

CONFIG = """\
title = "例子新闻"
language = "zh-CN"
time_zone = "Asia/Shanghai"
[server]
port = 0
[sources.folder]
type = "folder"
path = "articles"
[feeds.all]
title = "全部文章"
[newsletters.daily]
title = "每日新闻"
from = "例子新闻 <news@example.com>"
sender = "例子新闻编辑部"
postal_address = "上海市例子路一号"
[newsletters.daily.schedules.yearly]
label = "每年元旦"
cron = "0 0 1 1 *"
"""


def clean_environment() -> dict[str, str]:
    """This process's environment without settings of feedsvc and without a locale."""
    ours = ("FEEDSVC_", "LC_", "LANG", "PYTHONIOENCODING", "PYTHONUTF8", "PYTHONCOERCECLOCALE")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)}


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON; nothing else may stand there."""
        return json.loads(self.out)


class Starter:
    """Forks a process for each command."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=clean_environment() | {"LANG": "C.UTF-8"},
            text=True,
        )

    def run(self, folder: Path, command: tuple[str, ...], environ: Mapping[str, str]) -> Outcome:
        """Run `feedsvc command…` in a folder. However it ends, no traceback is shown."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as name:
            out, err = Path(name) / "out", Path(name) / "err"
            request = {
                "folder": str(folder),
                "command": command,
                "environ": dict(environ),
                "out": str(out),
                "err": str(err),
            }
            assert self._process.poll() is None, "feedsvc cannot be imported"
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            outcome = Outcome(code, out.read_text("utf-8"), err.read_text("utf-8"))
        assert "Traceback" not in outcome.out + outcome.err
        return outcome

    def close(self) -> None:
        """End the process that forks the others."""
        self._process.communicate(timeout=PATIENCE_SECONDS)


@dataclass(frozen=True)
class Newsroom:
    """A folder with a configuration, articles, and the database that comes of them."""

    folder: Path
    starter: Starter

    def configure(self, text: str = CONFIG) -> None:
        """Write config.toml."""
        (self.folder / "config.toml").write_text(text, encoding="utf-8")

    def write(self, name: str, text: str | bytes) -> Path:
        """Put a file into the folder of articles."""
        path = self.folder / "articles" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        # What was written this second may not be finished; `ingest` would wait.
        before = time.time() - 10
        os.utime(path, (before, before))
        return path

    def write_article(self, name: str, title: str, body: str = "正文第一句。") -> Path:
        """Put an article into the folder of articles."""
        return self.write(name, f"---\ntitle: {title}\n---\n\n{body}\n")

    def run(self, *command: str, **environ: str) -> Outcome:
        """Run a command here."""
        return self.starter.run(self.folder, command, environ)

    def do(self, *command: str, **environ: str) -> Outcome:
        """Run a command that succeeds."""
        outcome = self.run(*command, **environ)
        assert outcome.code == 0, outcome.err
        return outcome

    def publish(self, name: str, title: str) -> None:
        """Write an article, and have it taken over and published."""
        self.write_article(name, title)
        self.do("ingest")
        self.do("publish")

    def mails(self) -> list[Path]:
        """The mails that went out."""
        return sorted((self.folder / "outbox").glob("*.eml"))

    def dump(self) -> list[str]:
        """The whole database as SQL."""
        with closing(sqlite3.connect(self.folder / "data" / "feedsvc.db")) as connection:
            return list(connection.iterdump())

    def rows(self, statement: str) -> list[Any]:
        """What a query gives."""
        with closing(sqlite3.connect(self.folder / "data" / "feedsvc.db")) as connection:
            return connection.execute(statement).fetchall()


def run_anew(
    folder: Path, *command: str, stdout: int = subprocess.PIPE, **environ: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process that is started for it, and look at its bytes."""
    done = subprocess.run(
        [sys.executable, "-m", "feedsvc", *command],
        cwd=folder,
        env=clean_environment() | environ,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert b"Traceback" not in (done.stdout or b"") + done.stderr
    return done


@contextmanager
def running(folder: Path, *command: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs beside the block; killed at the end if it still does, or in a minute."""
    with subprocess.Popen(
        [sys.executable, "-m", "feedsvc", *command],
        cwd=folder,
        env=clean_environment() | {"LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"} | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # Whoever waits for a line of it gets the end of the file instead.
        watch = threading.Timer(PATIENCE_SECONDS, process.kill)
        watch.start()
        try:
            yield process
        finally:
            watch.cancel()
            if process.poll() is None:
                process.kill()


def _fork_for_each_request() -> None:
    syndication = "feedsvc.feeds.writing.syndication"
    for name in ("alembic.command", "feedsvc.app", syndication, "rich.table"):
        importlib.import_module(name)
    from feedsvc.cli import main

    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become_command(json.loads(line), main)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become_command(request: dict[str, Any], main: Any) -> None:
    signal.alarm(PATIENCE_SECONDS)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT), number)
    os.chdir(request["folder"])
    os.environ.update(request["environ"])
    sys.argv = ["feedsvc", *request["command"]]
    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    _fork_for_each_request()
