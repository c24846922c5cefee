"""A relay whose answers are told, and a source that holds what it is told: two ports of feedsvc."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes, policy
from enum import Enum

from feedsvc.model.article import MediaType, RawItem, Scan
from feedsvc.model.relay import Envelope, Permit, SendResult, Verdict

_SHOWN = re.compile(r"^\d+\. .*第(\d+)号", re.MULTILINE)
_MORE = re.compile(r"^(?:And|还有) (\d+) (?:more article|篇文章)", re.MULTILINE)


class Answer(Enum):
    """What a handover comes to, and whether the mail truly arrived."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REFUSED = "refused"
    BLOCKED = "blocked"
    SILENT_ARRIVED = "no reply, arrived"
    SILENT_LOST = "no reply, lost"
    #: The sending process dies.
    DIES_BEFORE = "dies before the dot"
    DIES_ARRIVED = "dies after the dot, arrived"
    DIES_LOST = "dies after the dot, lost"


_VERDICTS = {
    Answer.ACCEPTED: SendResult(Verdict.ACCEPTED, 250, "ok"),
    Answer.DEFERRED: SendResult(Verdict.DEFERRED, 450, "not now"),
    Answer.REFUSED: SendResult(Verdict.REFUSED, 550, "no"),
    Answer.BLOCKED: SendResult(Verdict.BLOCKED, 554, "not from you"),
    Answer.SILENT_ARRIVED: SendResult(Verdict.UNKNOWN),
    Answer.SILENT_LOST: SendResult(Verdict.UNKNOWN),
}
_ARRIVES = (Answer.ACCEPTED, Answer.SILENT_ARRIVED, Answer.DIES_ARRIVED)
#: A definite no: the relay has not kept the mail, and says so.
NO = (Answer.DEFERRED, Answer.REFUSED, Answer.BLOCKED)
DEATHS = (Answer.DIES_BEFORE, Answer.DIES_ARRIVED, Answer.DIES_LOST)


@dataclass(frozen=True)
class Handed:
    """A message whose dot was allowed, as the relay saw it."""

    recipient: str
    message_id: str
    content: bytes
    answer: Answer
    at: datetime

    @property
    def arrived(self) -> bool:
        """Whether the person has it, whatever the sender was told."""
        return self.answer in _ARRIVES

    def read(self) -> tuple[frozenset[int], int]:
        """Numbers of the articles that it shows, and how many more it counts."""
        body = message_from_bytes(self.content, policy=policy.default).get_body(("plain",))
        assert body is not None
        text = body.get_content().replace("\r\n", "\n")
        more = _MORE.search(text)
        return frozenset(map(int, _SHOWN.findall(text))), int(more[1]) if more else 0


@dataclass
class ScriptedRelay:
    """Answers each recipient as told; forgets nothing that was handed to it."""

    name: str = "scripted"
    connections: int = 2
    is_usable: bool = True
    now: datetime | None = None
    told: dict[str, Answer] = field(default_factory=dict)
    handed: list[Handed] = field(default_factory=list)
    died: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> "ScriptedRelay":
        return self

    async def send(self, envelope: Envelope, message: bytes, permit: Permit) -> SendResult:
        answer = self.told.get(envelope.recipient, Answer.ACCEPTED)
        if answer is Answer.DIES_BEFORE:
            await self._die()
        if not await permit():
            return SendResult(Verdict.WITHHELD)
        parsed = message_from_bytes(message, policy=policy.default)
        message_id = str(parsed["Message-ID"]).strip("<> ")
        assert self.now is not None
        self.handed.append(Handed(envelope.recipient, message_id, message, answer, self.now))
        if answer in DEATHS:
            await self._die()
        return _VERDICTS[answer]

    async def _die(self) -> None:
        self.died.set()
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


@dataclass
class MemorySource:
    """Holds what a newsroom has, as text with front matter."""

    key: str
    items: dict[str, str] = field(default_factory=dict)
    modified_at: datetime | None = None

    def scan(self, known: Mapping[str, str]) -> Scan:
        found = [self._item(key, text) for key, text in self.items.items()]
        new = tuple(one for one in found if known.get(one.key) != one.fingerprint)
        return Scan(self.key, {one.key: one.fingerprint for one in found}, new)

    def _item(self, key: str, text: str) -> RawItem:
        content = text.encode()
        digest = hashlib.sha256(content).hexdigest()
        assert self.modified_at is not None
        place = f"{self.key}/{key}"
        return RawItem(self.key, key, place, MediaType.MARKDOWN, content, digest, self.modified_at)

    async def changes(self) -> AsyncIterator[None]:
        for _ in ():
            yield
