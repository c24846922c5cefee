"""Sending one edition: the real sender into a sink, and beside it what others would do.

Every side runs in a process of its own on a copy of the same database; the sink is another
process.
"""

import asyncio
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.report import Result
from bench.send_postfix import NoPostfix, measure_postfix
from bench.send_sink import find_tool, open_sink
from bench.send_worker import CONNECTIONS, Measured, run_side
from bench.send_world import SENDER, World, make_messages, make_world, recipient
from bench.send_writer import PERIOD_SECONDS, other_writer
from feedsvc.cli.output import start_logging

_LATENCY_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class _Sizes:
    """How many messages each part sends."""

    recipients: int
    grown: int
    naive: int
    #: Made without being sent, to see what signing costs.
    made: int
    small: int
    far: int
    posted: int
    rounds: int


_FULL = _Sizes(
    recipients=10_000,
    grown=200_000,
    naive=500,
    made=1000,
    small=60_000,
    far=600,
    posted=10_000,
    rounds=3,
)
_QUICK = _Sizes(
    recipients=300, grown=900, naive=20, made=50, small=300, far=40, posted=200, rounds=1
)


def run(quick: bool) -> list[Result]:
    """All results but, in the full form, `rss_growth`, which takes many minutes."""
    return _run(_QUICK if quick else _FULL, grows=quick)


def run_long() -> list[Result]:
    """All results, in the full form."""
    return _run(_FULL, grows=True)


def _run(sizes: _Sizes, grows: bool) -> list[Result]:
    start_logging(quiet=True)  # of what happens in this process; results alone go to stdout
    with tempfile.TemporaryDirectory(prefix="bench-send-") as name:
        folder = Path(name)
        large = make_world(folder / "large", sizes.recipients, kilobytes=100, signed=True)
        ours, results = _large(large, sizes)
        if grows:
            growth = _growth(folder, ours, sizes)
        else:
            reason = f"{sizes.grown} recipients take many minutes; --long measures it"
            growth = Result("rss_growth", None, "x", reason)
        results.insert(2, growth)
        results += _small(make_world(folder / "small", sizes.small, kilobytes=20), sizes)
        results.append(_far(make_world(folder / "far", sizes.far, kilobytes=20)))
        results.append(_into_postfix(folder, sizes))
    return results


def _large(world: World, sizes: _Sizes) -> tuple[Measured, list[Result]]:
    """Signed messages of about 100 kB: us, the naive way, and us beside another writer."""
    ours: list[Measured] = []
    ratios: list[float] = []
    with open_sink() as sink:
        for _ in range(sizes.rounds):
            ours.append(_send("service", world, sink.port))
            naive = _send("naive", world, sink.port, sizes.naive)
            ratios.append(ours[-1].per_second / naive.per_second)
        with _copied(world) as folder, other_writer(folder / world.database_path.name) as waits:
            beside = run_side("service", folder, sink.port, world.count)
    size = f"{world.message_bytes / 1000:.0f} kB"
    rates = ", ".join(f"{one.per_second:.0f}" for one in ours)
    rate = statistics.median(one.per_second for one in ours)
    cpu_ms = statistics.median(one.cpu_ms for one in ours)
    peak_mb = max(one.peak_mb for one in ours)
    making, signing = _making(world, sizes.made)
    return ours[-1], [
        Result(
            "messages_per_s",
            rate,
            "msg/s",
            f"signed (RSA, 2048 bits); {world.count} × {size} into {sink.name}, runs: {rates}",
        ),
        Result("rss_mb", peak_mb, "MB", f"peak of the sending process, {world.count} recipients"),
        Result(
            "vs_naive",
            statistics.median(ratios),
            "x",
            f"naive, unsigned: {naive.per_second:.0f} msg/s, {naive.cpu_ms:.1f} ms CPU a message"
            f" ({sizes.naive} messages, {CONNECTIONS} tasks)",
        ),
        Result(
            "cpu_ms_per_message",
            cpu_ms,
            "ms",
            f"{size}, all threads; of it making the message {making:.2f}, signing it {signing:.2f}",
        ),
        Result(
            "other_writer_max_ms",
            waits.max_ms,
            "ms",
            f"{waits.count} writes, one each {PERIOD_SECONDS * 1000:.0f} ms: median"
            f" {waits.median_ms:.1f}, p99 {waits.p99_ms:.1f}; ours {beside.per_second:.0f} msg/s",
        ),
    ]


def _making(world: World, count: int) -> tuple[float, float]:
    """Milliseconds of processor time a message takes to be made unsigned, and to be signed."""
    signed = asyncio.run(make_messages(world, count, signs=True))
    unsigned = asyncio.run(make_messages(world, count, signs=False))
    return unsigned, signed - unsigned


def _growth(folder: Path, ours: Measured, sizes: _Sizes) -> Result:
    """Memory beside many more recipients; the same mail."""
    grown_world = make_world(folder / "grown", sizes.grown, kilobytes=100, signed=True)
    with open_sink() as sink:
        grown = _send("service", grown_world, sink.port)
    note = (
        f"{grown.peak_mb:.1f} MB with {grown.count} recipients ({grown.per_second:.0f} msg/s)"
        f" / {ours.peak_mb:.1f} MB with {ours.count}"
    )
    return Result("rss_growth", grown.peak_mb / ours.peak_mb, "x", note)


def _small(world: World, sizes: _Sizes) -> list[Result]:
    """Unsigned messages of about 20 kB against smtp-source; medians of the rounds' ratios."""
    names = {"transport": "transport_vs_smtp_source", "kept": "rows_vs_smtp_source"}
    tool = find_tool("smtp-source")
    rates: dict[str, list[float]] = {side: [] for side in ("smtp-source", *names)}
    with open_sink() as sink:
        for _ in range(sizes.rounds):
            if tool:
                rates["smtp-source"].append(_smtp_source(tool, sink.port, world))
            for side in names:
                rates[side].append(_send(side, world, sink.port).per_second)
    results = []
    for side, name in names.items():
        note = f"{statistics.median(rates[side]):.0f} msg/s into {sink.name}"
        if tool is None:
            missing = f"smtp-source (Postfix) is not installed; ours alone: {note}"
            results.append(Result(name, None, "x", missing))
            continue
        pairs = zip(rates[side], rates["smtp-source"], strict=True)
        ratio = statistics.median(ours / theirs for ours, theirs in pairs)
        theirs = statistics.median(rates["smtp-source"])
        note += f"; smtp-source -d {theirs:.0f}; {world.count} × {world.message_bytes} bytes a run"
        results.append(Result(name, ratio, "x", note))
    return results


def _far(world: World) -> Result:
    """A server far away: what counts is how often we wait for it."""
    with open_sink(_LATENCY_SECONDS) as sink:
        ours = _send("kept", world, sink.port)
        sendmail = _send("sendmail", world, sink.port)
    note = (
        f"{ours.per_second:.1f} / {sendmail.per_second:.1f} msg/s,"
        f" {world.count} messages on {CONNECTIONS} kept connections, connecting included"
    )
    ratio = ours.per_second / sendmail.per_second
    return Result("latency_50ms_vs_sendmail", ratio, "x", note)


def _into_postfix(folder: Path, sizes: _Sizes) -> Result:
    """Signed messages of about 20 kB into a Postfix that keeps them."""
    name, unit = "postfix_messages_per_s", "msg/s"
    try:
        posted = measure_postfix(
            make_world(folder / "posted", sizes.posted, kilobytes=20, signed=True)
        )
    except NoPostfix as error:
        return Result(name, None, unit, str(error))
    return Result(name, posted.arrived_per_second, unit, str(posted))


def _send(side: str, world: World, port: int, count: int | None = None) -> Measured:
    with _copied(world) as folder:
        return run_side(side, folder, port, count or world.count)


@contextmanager
def _copied(world: World) -> Iterator[Path]:
    """A copy of a world, whose rows still wait, for the length of a block."""
    with tempfile.TemporaryDirectory(dir=world.folder.parent) as folder:
        yield shutil.copytree(world.folder, Path(folder) / "world")


def _smtp_source(tool: str, port: int, world: World) -> float:
    """Messages a second of Postfix's C client over as many kept connections."""
    command = [tool, "-d", "-s", str(CONNECTIONS), "-l", str(world.message_bytes)]
    command += ["-m", str(world.count), "-f", SENDER, "-t", recipient(1)[0], f"127.0.0.1:{port}"]
    begin = time.perf_counter()
    subprocess.run(command, check=True)
    return world.count / (time.perf_counter() - begin)
