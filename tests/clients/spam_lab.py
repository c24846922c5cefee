"""The mails of the demonstration as a receiving server has them, and a spam filter of our own."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from feedsvc.app import App
from feedsvc.cli import demo
from feedsvc.config_file import load_settings
from feedsvc.messages.dkim_keys import make_private_key

#: Where rspamd's own configuration is; its symbols' scores are those it comes with.
_CONFIG = Path("/etc/rspamd/rspamd.conf")
_USER = "_rspamd"
#: Modules that ask others: DNS, lists, Redis. What they would say is not of the mail's making.
_NETWORK_MODULES = (
    "arc asn bayes_expiry dkim dkim_signing dmarc fuzzy_check greylist history_redis mx_check"
    " neural phishing ratelimit rbl replies reputation spf surbl url_redirector"
)
_PATIENCE_SECONDS = 90.0
_TRACE = (b"Return-Path:", b"Delivered-To:")


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it arrived."""

    return_path: str
    recipient: str
    #: With the trace field of the server that took it.
    content: bytes


async def make_demo_digests(folder: Path) -> list[Mail]:
    """What `feedsvc demo` mails, of this minute, but signed and from a site with a name.

    English to the first reader, Chinese to the others.
    """
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    clock = [now - timedelta(seconds=30)]
    shutil.copytree(Path(demo.__file__).parent.parent / "demo_articles", folder / "articles")
    make_private_key(folder / "dkim.pem", is_rsa=True)
    config = demo._CONFIG.format(port=8000)
    config = config.replace("http://127.0.0.1:8000", "https://news.example.com")
    config += '\n[dkim.demo]\nfile = "dkim.pem"\ndomain = "example.com"\n'
    (folder / "config.toml").write_text(config, encoding="utf-8")
    loaded = load_settings(folder / "config.toml", {}, folder)
    async with App.open(loaded, clock=lambda: clock[0]) as app, app.sending():
        await demo._subscribe(app)
        await app.pipeline.ingest("articles")
        await app.pipeline.publish()
        clock[0] = now
        for edition in await app.pipeline.fire():
            await app.pipeline.compose(edition)
        await app.pipeline.deliver()
    return [_received(path) for path in sorted((folder / "outbox").glob("*.eml"))]


def _received(path: Path) -> Mail:
    trace: list[str] = []
    lines = path.read_bytes().splitlines(keepends=True)
    while lines[0].startswith(_TRACE):
        trace.append(lines.pop(0).split(b":", 1)[1].strip().decode())
    return_path, recipient = trace[0].strip("<>"), trace[1]
    content = b"".join(lines)
    message = message_from_bytes(content, policy=policy.default)
    stamp = (
        "Received: from mail.example.com (mail.example.com [198.18.0.9])\r\n"
        "\tby mx.example.net (Postfix) with ESMTPS id 4ABCDE12345\r\n"
        f"\tfor <{recipient}>; {format_datetime(message['Date'].datetime)}\r\n"
    )
    return Mail(return_path, recipient, stamp.encode() + content)


@contextmanager
def open_rspamd() -> Iterator[str]:
    """An rspamd that asks nobody, for the length of a block; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with tempfile.TemporaryDirectory(prefix="rspamd-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # started by root it runs as somebody else
        process = subprocess.Popen(
            _lay_out(folder, url.removeprefix("http://")),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _await_answer(process, f"{url}/ping")
            yield url
        finally:
            process.terminate()
            process.wait()


def _lay_out(folder: Path, socket_name: str) -> list[str]:
    """Write its configuration; the command that starts it."""
    local = folder / "conf/local.d"
    local.mkdir(parents=True)
    (local / "worker-normal.inc").write_text(f'bind_socket = "{socket_name}";\ncount = 1;\n')
    for worker in ("controller", "proxy", "fuzzy"):
        (local / f"worker-{worker}.inc").write_text("enabled = false;\n")
    for module in _NETWORK_MODULES.split():
        (local / f"{module}.conf").write_text("enabled = false;\n")
    # What asks DNS all the same hears nothing.
    (local / "options.inc").write_text('dns { nameserver = ["127.0.0.1:9"]; timeout = 0.1s; }\n')
    command = ["rspamd", "-f", "-c", str(_CONFIG), f"--var=LOCAL_CONFDIR={folder / 'conf'}"]
    is_root = os.geteuid() == 0
    for kind in ("DB", "LOG", "RUN"):
        (folder / kind).mkdir()
        if is_root:
            shutil.chown(folder / kind, _USER, _USER)
        command.append(f"--var={kind}DIR={folder / kind}")
    return [*command, "-u", _USER, "-g", _USER] if is_root else command


def _await_answer(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError as error:
            assert process.poll() is None, "rspamd has ended"
            if time.monotonic() > deadline:
                raise RuntimeError("rspamd does not answer") from error
        time.sleep(0.2)


def ask_rspamd(url: str, mail: Mail) -> dict[str, float]:
    """Its symbols for a mail, with their scores."""
    request = urllib.request.Request(
        f"{url}/checkv2",
        data=mail.content,
        headers={
            "From": mail.return_path,
            "Rcpt": mail.recipient,
            "IP": "198.18.0.9",
            "Helo": "mail.example.com",
            "Hostname": "mail.example.com",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return {name: one["score"] for name, one in found["symbols"].items()}
