"""One side of a measurement, in a process of its own, so that its memory is its own.

    python -m bench.send_worker SIDE --folder FOLDER --port PORT --count N

sends N messages to the sink on that port and prints one JSON object. FOLDER is a world, or a copy
of one. All run on the event loop that `serve` runs on.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.send_sink import PROJECT
from bench.send_world import SENDER, make_message, open_database, open_maker, recipient
from feedsvc.cli.options import run_loop

if TYPE_CHECKING:
    from feedsvc.config_relays import SmtpRelaySettings

CONNECTIONS = 10
#: No side may hang for ever; the longest takes some minutes.
_PATIENCE_SECONDS = 1800
_MESSAGES_PER_CONNECTION = 100_000


@dataclass(frozen=True, slots=True)
class Measured:
    """What one side took to send `count` messages."""

    count: int
    seconds: float
    #: User and system time of the whole process meanwhile, threads included.
    cpu_seconds: float
    #: Highest resident memory of the process in its whole life.
    peak_mb: float
    #: When the first was begun, in seconds since 1970.
    began: float

    @property
    def per_second(self) -> float:
        """Messages a second."""
        return self.count / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of processor time a message."""
        return self.cpu_seconds * 1000 / self.count


def run_side(side: str, folder: Path, port: int, count: int) -> Measured:
    """Run one side in a fresh process. Its log goes to a file, as a service's would."""
    log = folder / f"{side}.log"
    command = [sys.executable, "-m", "bench.send_worker", side, "--folder", str(folder)]
    command += ["--port", str(port), "--count", str(count)]
    with log.open("w") as errors:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=PROJECT,
            timeout=_PATIENCE_SECONDS,
        )
    if done.returncode:
        raise RuntimeError(f"{side} failed:\n{log.read_text()[-3000:]}")
    return Measured(**json.loads(done.stdout))


async def _measure(count: int, send: Callable[[], Awaitable[int]]) -> Measured:
    began, begin, cpu = time.time(), time.perf_counter(), time.process_time()
    sent = await send()
    seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    if sent != count:
        raise RuntimeError(f"{sent} of {count} messages were taken")
    return Measured(count, seconds, cpu_seconds, _peak_mb(), began)


async def _service(folder: Path, port: int, count: int) -> Measured:
    """The real sender: deliveries claimed, dots marked, replies written down."""
    return await _drain(folder, port, count, connections=CONNECTIONS)


async def _kept(folder: Path, port: int, count: int) -> Measured:
    """The same over connections that are never renewed, as those of the peers."""
    kept = {"messages_per_connection": _MESSAGES_PER_CONNECTION}
    return await _drain(folder, port, count, connections=CONNECTIONS, **kept)


async def _postfix(folder: Path, port: int, count: int) -> Measured:
    """The same with a local relay's settings as they come."""
    return await _drain(folder, port, count)


async def _drain(folder: Path, port: int, count: int, **settings: Any) -> Measured:
    from sqlalchemy import func, select
    from sqlmodel import col

    from feedsvc.cli.output import start_logging
    from feedsvc.config_sending import SendingSettings
    from feedsvc.deliveries.sender import Route, Sender
    from feedsvc.model.delivery import Delivery, DeliveryState
    from feedsvc.relays.open import open_relay

    start_logging()
    database = open_database(folder)
    about = _relay_settings(port, **settings)
    relay = open_relay(about, Path(), "bench")
    sender = Sender(
        database,
        [Route(relay, first_connections=about.first_connections, idle_seconds=about.idle_seconds)],
        open_maker(database, folder).prepare,
        SendingSettings(look_up_providers=False),
        lambda: datetime.now(UTC),
        "bench",
    )
    await sender.start()
    try:
        await sender.recover()
        measured = await _measure(count, sender.drain)
    finally:
        await sender.close()
    async with database.read() as session:
        written = await session.scalar(
            select(func.count()).where(col(Delivery.state) == DeliveryState.SENT)
        )
    await database.dispose()
    if written != count:
        raise RuntimeError(f"{written} of {count} deliveries stand as sent")
    return measured


async def _transport(folder: Path, port: int, count: int) -> Measured:
    """The relay alone: one made message again and again, nothing written down."""
    from feedsvc.model.relay import Verdict
    from feedsvc.relays.open import open_relay

    database = open_database(folder)
    message = await make_message(database, folder)
    await database.dispose()
    relay = open_relay(
        _relay_settings(
            port, connections=CONNECTIONS, messages_per_connection=_MESSAGES_PER_CONNECTION
        ),
        Path(),
        "bench",
    )

    async def permit() -> bool:
        return True

    async def send(share: range) -> int:
        connection, taken = await relay.open(), 0
        for _ in share:
            result = await connection.send(message.envelope, message.content, permit)
            taken += result.verdict is Verdict.ACCEPTED
        await connection.close()
        return taken

    return await _measure(count, lambda: _shared(count, send))


async def _sendmail(folder: Path, port: int, count: int) -> Measured:
    """aiosmtplib's own sendmail over as many kept connections; the same message, no rows."""
    import aiosmtplib

    message, reader = (folder / "message.eml").read_bytes(), recipient(1)[0]

    async def send(share: range) -> int:
        smtp = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, use_tls=False, start_tls=False)
        async with smtp:
            for _ in share:
                await smtp.sendmail(SENDER, [reader], message)
        return len(share)

    return await _measure(count, lambda: _shared(count, send))


async def _naive(folder: Path, port: int, count: int) -> Measured:
    """Without cohorts: each message rendered, built by the standard library and sent alone."""
    import aiosmtplib

    from bench.send_naive import NaiveMaker

    maker = NaiveMaker(folder)

    async def send(share: range) -> int:
        for number in share:
            message = maker.make(number)
            await aiosmtplib.send(
                message, hostname="127.0.0.1", port=port, use_tls=False, start_tls=False
            )
        return len(share)

    return await _measure(count, lambda: _shared(count, send))


async def _shared(count: int, send: Callable[[range], Awaitable[int]]) -> int:
    """Send messages 1 to `count` in as many tasks as there are connections; how many went."""
    shares = [range(first, count + 1, CONNECTIONS) for first in range(1, CONNECTIONS + 1)]
    return sum(await asyncio.gather(*(send(share) for share in shares if share)))


def _relay_settings(port: int, **settings: Any) -> "SmtpRelaySettings":
    from feedsvc.config_relays import SmtpRelaySettings

    local = {"type": "smtp", "profile": "local", "host": "127.0.0.1", "port": port}
    return SmtpRelaySettings.model_validate(local | settings)


def _peak_mb() -> float:
    """Highest resident memory of this process.

    QUIRK: on Linux ru_maxrss begins with what the parent had when it started us; VmHWM does not.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


#: What a side may be, by the name it is asked for.
_SIDES = {
    "service": _service,
    "kept": _kept,
    "postfix": _postfix,
    "transport": _transport,
    "sendmail": _sendmail,
    "naive": _naive,
}


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=sorted(_SIDES))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    measured = run_loop(_SIDES[options.side](options.folder, options.port, options.count))
    print(json.dumps(asdict(measured)))


if __name__ == "__main__":
    _main()
