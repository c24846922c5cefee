"""A Postfix of our own that keeps what it is given, to send to and to count what arrived.

    python -m bench.send_postfix [--count N] [--kilobytes 20|100]

sends N signed messages to N readers and says how fast they were taken and how fast they arrived.

This Postfix has its own configuration, queue and mail in a temporary folder, listens on a free
port of the loopback, and is Postfix as it comes but for that. Nothing of one that runs beside it
is touched, and it is ended with the block. Postfix starts for root alone.
"""

import argparse
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.send_sink import await_port, find_tool
from bench.send_worker import run_side
from bench.send_world import ARTICLES, World, make_world, recipient
from feedsvc.cli.output import start_logging

#: Where everything mailed to goes; nothing is sent anywhere else.
DOMAIN = "example.org"
_PATIENCE_SECONDS = 60.0
_SHIPPED = Path("/etc/postfix")
_HEAD_BYTES = 2048
#: Who owns the mail: nobody.
_OWNER = 65534

_MAIN = """\
compatibility_level = 3.6
config_directory = {folder}/etc
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log/mail.log
maillog_file_prefixes = {folder}/log
myhostname = mx.example.net
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
alias_database =
smtpd_recipient_restrictions = permit_mynetworks, reject
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:all/
virtual_minimum_uid = 100
virtual_uid_maps = static:{owner}
virtual_gid_maps = static:{owner}
default_transport = error:5.1.2 nothing leaves this machine
"""
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class NoPostfix(Exception):
    """Why none can be started here."""


@dataclass(frozen=True, slots=True)
class Posted:
    """How fast messages went through a Postfix; every recipient got one."""

    count: int
    message_bytes: int
    #: Until it had taken the last one.
    taken_per_second: float
    #: Until the last one lay in the mailbox.
    arrived_per_second: float

    def __str__(self) -> str:
        return (
            f"{self.count} × {self.message_bytes / 1000:.0f} kB, signed: taken"
            f" {self.taken_per_second:.0f} msg/s, all in the Maildir {self.arrived_per_second:.0f}"
            " msg/s, every recipient once"
        )


@dataclass(frozen=True, slots=True)
class Postfix:
    """One that listens on the loopback."""

    port: int
    #: Folder of a Maildir: one file a message, whole once it is there.
    arrived: Path

    @property
    def count(self) -> int:
        """Messages that have arrived."""
        try:
            return len(os.listdir(self.arrived))
        except FileNotFoundError:  # made for the first message
            return 0

    def await_arrivals(self, count: int) -> float:
        """Wait for so many; when the last one was there, in seconds since 1970.

        Raises:
            RuntimeError: nothing more came for a minute.
        """
        seen, since = -1, time.monotonic()
        while (found := self.count) < count:
            if found != seen:
                seen, since = found, time.monotonic()
            elif time.monotonic() - since > _PATIENCE_SECONDS:
                raise RuntimeError(f"{found} of {count} messages arrived")
            time.sleep(0.05)
        # A message is written elsewhere and then renamed: the change is its arrival.
        return max(path.stat().st_ctime for path in self.arrived.iterdir())

    def recipients(self) -> Counter[str]:
        """How many messages each address got, as Postfix wrote it into them."""
        return Counter(_recipient(path) for path in self.arrived.iterdir())


@contextmanager
def open_postfix() -> Iterator[Postfix]:
    """A Postfix for the length of a block. Raises NoPostfix."""
    tool = find_tool("postfix")
    if tool is None:
        raise NoPostfix("Postfix is not installed")
    if os.geteuid() != 0:
        raise NoPostfix("Postfix is started by root alone")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="bench-postfix-") as name:
        folder = Path(name)
        _lay_out(folder, port)
        command = [tool, "-c", str(folder / "etc")]
        # In the foreground: it is our child, and ends with us.
        process = subprocess.Popen(
            [*command, "start-fg"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            await_port(process, port)
            yield Postfix(port, folder / "mail/all/new")
        except RuntimeError as error:
            if process.poll() is None:
                raise
            log = folder / "log/mail.log"
            said = log.read_text() if log.exists() else ""
            raise NoPostfix(f"Postfix did not start: {said[-300:] or error}") from error
        finally:
            if process.poll() is None:
                subprocess.run([*command, "stop"], capture_output=True, check=False)
            process.terminate()
            process.communicate()


def _lay_out(folder: Path, port: int) -> None:
    folder.chmod(0o755)  # its programs run as others than we
    for part in ("etc", "queue", "data", "mail", "log"):
        (folder / part).mkdir()
    for name in ("postfix-files", "dynamicmaps.cf"):
        if (_SHIPPED / name).exists():
            shutil.copy(_SHIPPED / name, folder / "etc")
    main = _MAIN.format(folder=folder, domain=DOMAIN, owner=_OWNER)
    (folder / "etc/main.cf").write_text(main)
    (folder / "etc/master.cf").write_text(_MASTER.format(port=port))
    shutil.chown(folder / "data", "postfix")
    os.chown(folder / "mail", _OWNER, _OWNER)


def _recipient(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES).decode("utf-8", "replace")
    for line in head.splitlines():
        if line.startswith("Delivered-To: "):
            return line.removeprefix("Delivered-To: ")
    return "nobody"


def measure_postfix(world: World) -> Posted:
    """Send a world's edition into a Postfix. Its database is used up.

    Raises:
        NoPostfix: none can be started.
        RuntimeError: something is missing in the mailbox, or is there twice.
    """
    with open_postfix() as postfix:
        sent = run_side("postfix", world.folder, postfix.port, world.count)
        arrived = postfix.await_arrivals(world.count)
        found = postfix.recipients()
    expected = Counter(recipient(number)[0] for number in range(1, world.count + 1))
    if found != expected:
        raise RuntimeError(f"{len(found - expected)} too many, {len(expected - found)} missing")
    taken = world.count / (arrived - sent.began)
    return Posted(world.count, world.message_bytes, sent.per_second, taken)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--kilobytes", type=int, choices=sorted(ARTICLES), default=20)
    options = parser.parse_args()
    start_logging(quiet=True)
    with tempfile.TemporaryDirectory(prefix="bench-send-") as name:
        world = make_world(Path(name) / "world", options.count, options.kilobytes, signed=True)
        print(measure_postfix(world))


if __name__ == "__main__":
    _main()
