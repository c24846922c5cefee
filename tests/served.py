"""A real `feedsvc serve` on a folder of articles, on a free port of loopback."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

_HEAD = """\
base_url = "http://127.0.0.1:{port}"
title = "例子新闻"
language = "zh-CN"
time_zone = "Asia/Shanghai"
[server]
port = {port}
[sources.folder]
type = "folder"
path = "articles"
"""
#: No step takes longer, on a machine that does other things too.
PATIENCE_SECONDS = 30.0


class Served:
    """A newsroom's folder, and the server that works there while it is entered."""

    def __init__(self, folder: Path, config: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        (folder / "config.toml").write_text(_HEAD.format(port=self.port) + config, "utf-8")
        (folder / "articles").mkdir()
        self._process: subprocess.Popen[str] | None = None

    def write(self, name: str, title: str, *fields: str) -> None:
        """Put an article into the folder: its title, and lines of front matter."""
        lines = [
            "---",
            f"title: {title}",
            *fields,
            "---",
            "",
            "正文第一句，with <b>markup</b> & more.",
            "",
        ]
        (self.folder / "articles" / name).write_text("\n".join(lines), "utf-8")

    def __enter__(self) -> Self:
        """Start the server, and wait until it says that it serves."""
        ours = {key: value for key, value in os.environ.items() if not key.startswith("FEEDSVC_")}
        with (self.folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "feedsvc", "serve"],
                cwd=self.folder,
                env=ours | {"PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        watch = threading.Timer(PATIENCE_SECONDS, self._process.kill)
        watch.start()
        said = self._process.stdout.readline()
        watch.cancel()
        assert f" on port {self.port} " in said, self.log()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the server."""
        assert self._process is not None
        self._process.terminate()
        self._process.communicate(timeout=PATIENCE_SECONDS)
        assert "Traceback" not in self.log()

    def log(self) -> str:
        """All that it has logged."""
        return (self.folder / "log.txt").read_text("utf-8")


def wait_until(condition: Callable[[], bool], limit_seconds: float = PATIENCE_SECONDS) -> bool:
    """Look until it is so, or the time is over; whether it is."""
    end = time.monotonic() + limit_seconds
    while not (found := condition()) and time.monotonic() < end:
        threading.Event().wait(0.1)
    return found
