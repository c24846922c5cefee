"""Composing everything that is due, in a process of its own, so that its memory is its own.

    python -m bench.compose_worker CONFIG

prints one JSON object.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.compose_world import AT
from bench.send_sink import PROJECT
from feedsvc.cli.options import run_loop
from feedsvc.cli.output import start_logging

_PATIENCE_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class Measured:
    """What it took."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    editions: int
    waves: int
    cohorts: int
    deliveries: int


def run_worker(config: Path) -> Measured:
    """Compose all that is due in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.compose_worker", str(config)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
    )
    if done.returncode:
        raise RuntimeError(f"the composer failed:\n{done.stderr}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


async def _compose(config: Path) -> Measured:
    from sqlalchemy import func, select
    from sqlmodel import col

    from feedsvc.app import App
    from feedsvc.config_file import load_settings
    from feedsvc.model.delivery import Delivery
    from feedsvc.model.edition import Cohort, Edition, EditionState, Wave

    async with App.open(load_settings(config, {}, config.parent), clock=lambda: AT) as app:
        used, begin = time.process_time(), time.perf_counter()
        # As the jobs do it: all editions that have come due at once.
        await asyncio.gather(*map(app.pipeline.compose, await app.pipeline.fire()))
        seconds, used = time.perf_counter() - begin, time.process_time() - used
        async with app.database.read() as session:
            states = (await session.execute(select(col(Edition.state)))).scalars().all()
            if set(states) != {EditionState.FROZEN}:
                raise RuntimeError(f"not all editions were frozen: {states}")
            counts = [
                await session.scalar(select(func.count()).select_from(table))
                for table in (Wave, Cohort, Delivery)
            ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Measured(seconds, used, peak, len(states), *(count or 0 for count in counts))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    start_logging(quiet=True)
    print(json.dumps(asdict(run_loop(_compose(parser.parse_args().config)))))
