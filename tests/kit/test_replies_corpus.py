"""The rules on real reports: who is dead is found, and hardly anybody who lives is called so."""

import json
import re
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from feedsvc.kit.replies import Meaning, read_reply

CORPUS = Path(__file__).resolve().parents[2] / ".." / "shared" / "corpus" / "bounces"
pytestmark = pytest.mark.skipif(
    not CORPUS.exists(), reason=f"NOT RUN: no corpus of bounces at {CORPUS}"
)
DEAD = (Meaning.DEAD_ADDRESS, Meaning.DEAD_DOMAIN)
#: Words that show that the message had been seen. sendmail shows the reply to RCPT after DATA
#: too, when it sent both together; its status then tells.
_AFTER_DATA = re.compile(r"in reply to end of DATA")
_DATA_REFUSED = re.compile(r">>> DATA\s+<<< 5(?![\s\S]*<<< 503)")


def test_the_rules_find_the_dead_and_spare_the_living() -> None:
    found, missed, spared, slain = 0, [], 0, []
    for name, is_dead, status, text in _reports():
        if _is_called_dead(name, status, text):
            found += is_dead
            slain += [] if is_dead else [f"{name}: {text}"]
        else:
            spared += not is_dead
            missed += [f"{name}: {text}"] if is_dead else []
    assert found + len(missed) > 40, "too few to tell anything"
    assert found / (found + len(missed)) >= 0.95, missed
    assert len(slain) / (spared + len(slain)) <= 0.03, slain


def test_no_block_on_us_is_taken_for_a_death() -> None:
    against_us = {
        "authfailure", "badreputation", "blocked", "norelaying", "policyviolation", "requireptr",
        "spamdetected", "speeding", "toomanyconn", "securityerror",
    }  # fmt: skip
    expected = json.loads((CORPUS / "expected.json").read_text())
    looked_at = 0
    for name, _, status, text in _reports():
        if {one["reason"] for one in expected[name]} <= against_us:
            looked_at += 1
            assert not _is_called_dead(name, status, text), (name, text)
    assert looked_at > 30


def _is_called_dead(name: str, status: str, text: str) -> bool:
    code = re.search(r"(?<!\d)[45]\d\d(?![\d.])", text)
    number = int(code[0]) if code else 450 if status.startswith("4") else 550
    whole = (CORPUS / name).read_bytes().decode("utf-8", "replace")
    is_late = bool(_AFTER_DATA.search(whole)) or (
        not re.match(r"5\.[15]\.", status) and bool(_DATA_REFUSED.search(whole))
    )
    return number >= 500 and not is_late and read_reply(number, text) in DEAD


def _reports() -> Iterator[tuple[str, bool, str, str]]:
    """File, whether the address is dead, status and diagnostic of each well-formed report.

    Of reports that say something of every recipient (RFC 3464 §2.3); the address itself is not
    compared, because the labels hold none.
    """
    for name, labels in json.loads((CORPUS / "expected.json").read_text()).items():
        blocks = list(_recipients(message_from_bytes((CORPUS / name).read_bytes())))
        if len(blocks) == len(labels) and all(text for _, text in blocks):
            for label, (status, text) in zip(labels, blocks, strict=True):
                yield name, label["permanent"], status, text


def _recipients(message: Message) -> Iterator[tuple[str, str]]:
    for part in message.walk():
        content = part.get_payload()
        if part.get_content_subtype() == "delivery-status" and isinstance(content, list):
            for block in content:
                if isinstance(block, Message) and block["Final-Recipient"] and block["Status"]:
                    text = " ".join(str(block["Diagnostic-Code"] or "").split())
                    yield str(block["Status"]).strip(), re.sub(r"^[\w-]+\s*;\s*", "", text)
