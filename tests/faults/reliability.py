"""Runs what tests the promises, and writes docs/reliability.md with the figures it saw.

    python tests/faults/reliability.py --write docs/reliability.md            # some minutes
    python tests/faults/reliability.py --long --write docs/reliability.md     # the long sweeps too

Without --write the document goes to standard output. Exit code 1: a test failed, and is said so
in its row.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent.parent
#: The promises, in the words of the table; a plain test checks that each has a row.
PROMISES = {
    "R01": "What was answered with success is in the database, whatever dies next.",
    "R02": "`kill -9` at any instant makes us forget nobody.",
    "R03": "In doubt, and so sent twice at most, is only what was on the wire at that instant; a"
    " second copy has the same Message-ID and the same bytes.",
    "R04": "With `hold` nobody is mailed twice, and each held mail is listed with its reason.",
    "R05": "What was claimed but not handed over goes out later; it is not called uncertain.",
    "R06": "A lost reply to the dot is a doubt: neither sent nor failed.",
    "R07": "A server that is slow after the dot gets no second copy.",
    "R08": "A 421 at any step marks nobody; everybody is mailed later, once.",
    "R09": "A refused recipient stops nobody else.",
    "R10": "A mail that cannot be made is set aside with its reason; the rest goes out.",
    "R11": "A mail that workers die of is set aside; the rest goes out.",
    "R12": "A server that drips its replies holds nobody for ever.",
    "R13": "A server that does not talk is asked seldom, and costs no mail.",
    "R14": "Where TLS is required, neither mail nor password is sent without it, or to another.",
    "R15": "A wrong password costs one attempt and no mail.",
    "R16": "Rate limits are kept over restarts.",
    "R17": "An edition's content is fixed before its first mail.",
    "R18": "A crash while recipients are written drops none and writes none twice.",
    "R19": "An edition is sent even if whoever was to send it forgot.",
    "R20": "After an unsubscribe has been answered, nothing is sent but what was on the wire.",
    "R21": "Who is erased amid a send gets nothing more, and stops nothing.",
    "R22": "An article withdrawn amid a send: the rest goes without it, or not at all, as chosen.",
    "R23": "A pause outlives a crash; going on sends the rest alone.",
    "R24": "Asked to end, it finishes what is on the wire, leaves nothing claimed, and exits 0.",
    "R25": "A local time that does not exist makes exactly one edition.",
    "R26": "A local time that exists twice makes exactly one edition.",
    "R27": "A clock that jumps makes no second edition, steals no work, and stops nothing.",
    "R28": "After weeks off there is one edition, with everything since.",
    "R29": "A period without news sends nothing, says why, and loses nothing.",
    "R30": "Leap days, the 31st, week 53 and the turn of the year come due once.",
    "R32": "Two senders at once mail everybody once; on SQLite there is only ever one.",
    "R33": "Every article reaches every reader it is for once, or has a recorded reason.",
    "R34": "A full disk makes nothing count as sent; sending goes on when there is room again.",
    "R35": "After a failed commit the rows are read again; nothing is assumed.",
    "R36": "A database that goes away amid a send costs nobody their mail.",
    "R37": "Other writers never wait longer than 250 ms for a send.",
    "R45": "Whether somebody was sent an edition can be asked, and the answer is true.",
    "R48": "Nobody's address, name or link is in another's mail.",
}
#: Promises held by tests that inject no faults of their own, and take no figures.
ELSEWHERE = {
    "R22": ("walk/test_withdrawal_mid_send.py::test_the_mails_not_sent_yet_go_without_it",),
    "R28": ("editions/test_fire.py::test_after_weeks_off_one_edition_holds_everything",),
    "R29": ("editions/test_freeze.py::test_an_empty_period_sends_nothing_and_says_why",),
    "R30": (
        "editions/test_calendar.py::test_the_calendar_year_has_a_period_for_each_day_that_is_named",
    ),
    "R33": ("walk/test_main_invariant.py::test_so_it_does_over_many_more_histories",),
}
#: Tests of how soon things happen: they promise no mail, and need a machine to themselves.
_NEED_QUIET = tuple(
    f"tests/faults/test_{name}.py" for name in ("live_serve", "publish_burst", "busy_database")
)
#: Figures of a tally in the order and the words of the table; the others are 0 when all is well.
_WORDS = {
    "kills": "kills",
    "frozen": "recipients",
    "taken": "mails taken",
    "lost": "lost",
    "uncertain": "in doubt",
    "duplicates": "second copies",
    "still_open": "still to be sent",
}
_ZERO = {
    "unequal": "second copies that differ",
    "outside": "to people it was not for",
    "foreign": "with another's name or link",
    "after_leaving": "after an unsubscribe",
    "disagreements": "rows that disagree with the log",
}
_HEAD = """\
# Reliability

**feedsvc never forgets a subscriber it promised to mail, makes at most one edition per schedule and
period, and after a crash only the messages that were on the wire at that instant are in doubt:
those readers find their articles again in the next digest (default), or the same mail once more
with the same Message-ID, or the operator decides.**

Every part of this is a promise with a test. The tests run the real program in processes of its own
against an SMTP server that refuses, hangs up, forgets to answer or lies, kill it at instants drawn
from seeds, and then count by *that server's* log, which is on its disk before it answers: who was
mailed, how often, with which bytes. The program's own tables are only compared with it. After each
fault all of this is counted, and a test fails if one of these is not 0: mails forgotten, second
copies that differ, mails to people the edition was not for, mails with somebody else's address,
name or unsubscribe link, mails after an answered unsubscribe, and rows that disagree with the log.

*In doubt* is a mail whose handover ended without a reply: it may have arrived. There are at most
(kills + lost replies) × connections of them. With `uncertain_digests = "carry"` or `"hold"` there
are no second copies at all; with `"resend"` there are as many as doubts at most, byte for byte the
same.

"""
_FOOT = """
## What this does not show

A kill ends a process, not a machine: what a disk does with its cache when the power fails is
outside of these tests (SQLite runs with `synchronous=FULL`). The mail server is on the loopback.
A mail that a server took and then lost is that server's; what it sends back comes in later.
Rows that say *not tested yet* are promises we mean to keep, without a test that holds them.
"""


def run_tests(long: bool) -> tuple[list[dict[str, Any]], dict[str, bool]]:
    """Run the battery: what its tests recorded, and test -> whether it passed."""
    with tempfile.TemporaryDirectory() as folder:
        figures, junit = Path(folder) / "figures.jsonl", Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-n", "3"]
        command += ["--figures", str(figures), "--junitxml", str(junit)]
        command += [f"--ignore={one}" for one in _NEED_QUIET]
        command += ["-m", "fault or long" if long else "fault", "tests/faults"]
        subprocess.run(command, cwd=ROOT, check=False)
        passed = _read_outcomes(junit)
        lines = figures.read_text("utf-8").splitlines() if figures.exists() else []
    return [json.loads(line) for line in lines], passed


def _read_outcomes(junit: Path) -> dict[str, bool]:
    """Test function -> whether all of its cases passed; those that were skipped are not there."""
    outcomes: dict[str, bool] = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        if case.find("skipped") is not None:
            continue
        module = case.attrib["classname"].replace(".", "/")
        test = f"{module}.py::{case.attrib['name'].partition('[')[0]}"
        failed = case.find("failure") is not None or case.find("error") is not None
        outcomes[test] = outcomes.get(test, True) and not failed
    return outcomes


def write_table(records: Sequence[Mapping[str, Any]], passed: Mapping[str, bool]) -> str:
    """The table: a row a promise, its tests, and what they saw."""
    found: defaultdict[str, defaultdict[str, list[Mapping[str, Any]]]]
    found = defaultdict(lambda: defaultdict(list))
    for record in records:
        for promise in record["promises"]:
            found[promise][record["test"].partition("[")[0]].append(record)
    rows = ["| | promise | tests | latest figures |", "|---|---|---|---|"]
    described: dict[str, str] = {}
    for promise, words in PROMISES.items():
        tests, seen = sorted(found[promise]), []
        for test in tests:
            figures = _describe(found[promise][test], passed.get(test))
            seen.append(f"see {described[test]}" if test in described else figures)
            described.setdefault(test, promise)
        held_by = [*(test.removeprefix("tests/") for test in tests), *ELSEWHERE.get(promise, ())]
        named = "<br>".join(f"`{test}`" for test in held_by)
        cells = named or "not tested yet", "<br>".join(seen) or "–"
        rows.append(f"| {promise} | {words} | {cells[0]} | {cells[1]} |")
    return "\n".join(rows) + "\n"


def _describe(records: Sequence[Mapping[str, Any]], passed: bool | None) -> str:
    """What the cases of one test saw, together."""
    if passed is False or not all(record["passed"] for record in records):
        return "**failed**"
    faults = "; ".join(dict.fromkeys(record["injected"] for record in records))
    cases = list(dict.fromkeys(record["case"] for record in records if record["case"]))
    totals: dict[str, int] = defaultdict(int)
    others: dict[str, set[Any]] = defaultdict(set)
    for record in records:
        for key, value in record["figures"].items():
            if key in _WORDS or key in _ZERO:
                totals[key] += value
            elif key != "reached":
                others[key].add(", ".join(map(str, value)) if isinstance(value, list) else value)
    parts = [
        f"{totals[key]:,} {words}"
        for key, words in _WORDS.items()
        if key in totals and (totals[key] or key not in ("kills", "still_open"))
    ]
    parts += [f"**{totals[key]} {words}**" for key, words in _ZERO.items() if totals[key]]
    parts += [f"{key.replace('_', ' ')}: {_span(values)}" for key, values in others.items()]
    shown = f" ({'; '.join(cases)})" if cases else ""
    return f"{faults}{shown}: {', '.join(parts)}"


def _span(values: Iterable[Any]) -> str:
    """One value, or the least and the greatest."""
    ordered = sorted(values, key=lambda value: (isinstance(value, str), value))
    return str(ordered[0]) if len(ordered) == 1 else f"{ordered[0]}–{ordered[-1]}"


def write_document(
    records: Sequence[Mapping[str, Any]], passed: Mapping[str, bool], long: bool
) -> str:
    """The whole document."""
    cores, memory = os.cpu_count(), _memory_gb()
    form = "long" if long else "short"
    about = (
        f"The table is written by `python tests/faults/reliability.py"
        f"{' --long' if long else ''} --write docs/reliability.md`. Latest run:"
        f" {datetime.now(UTC):%Y-%m-%d}, {form} form, {platform.system()} on"
        f" {platform.machine()} with {cores} cores and {memory} GB, Python"
        f" {platform.python_version()}, SQLite and PostgreSQL.\n\n"
    )
    return _HEAD + about + write_table(records, passed) + _FOOT


def _memory_gb() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--long", action="store_true", help="the long sweeps too")
    parser.add_argument("--write", type=Path, help="file to write the document to")
    options = parser.parse_args()
    records, passed = run_tests(options.long)
    document = write_document(records, passed, options.long)
    if options.write:
        options.write.write_text(document, "utf-8")
    else:
        print(document)
    return 0 if all(passed.values()) and passed else 1


if __name__ == "__main__":
    sys.exit(main())
