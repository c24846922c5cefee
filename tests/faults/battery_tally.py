"""What a run came to, counted by the sink's own log. Our tables are only compared with it."""

import html
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header

from battery_sink import Sink, Taken
from battery_world import Person, World

from feedsvc.errors import InvalidToken
from feedsvc.kit.tokens import Keyring, Scope

#: States in which a mail may have arrived or not, and our tables say just that.
_IN_DOUBT = frozenset({"uncertain", "held"})
_OPEN = frozenset({"pending", "claimed", "dot", "deferred"})
_ADDRESS = re.compile(r"reader-\d+@[a-z]+(?:\.[a-z]+)+")
_NAME = re.compile(r"李雷\d+号|Alice-\d+ O'Neil")
_LEAVE = re.compile(r"/unsubscribe/([A-Za-z0-9_-]+)")


@dataclass(slots=True)
class Tally:
    """Counts of one run; all but the first four should be 0, or within what the fault allows."""

    #: Deliveries of the frozen edition.
    frozen: int
    #: Messages the sink took, and people it took them for.
    taken: int = 0
    reached: int = 0
    #: Deliveries that our tables say are still to be sent.
    still_open: int = 0
    #: Not at the sink, and our tables neither say so nor doubt it: forgotten.
    lost: int = 0
    #: Deliveries whose handover ended without a reply, also those that went once more.
    uncertain: int = 0
    #: Copies beyond each person's first; and how many of them differ from the first.
    duplicates: int = 0
    unequal: int = 0
    #: Messages for people whom the edition was not for.
    outside: int = 0
    #: Messages with somebody else's address, name or link, or without their own.
    foreign: int = 0
    #: Messages taken after their person's unsubscribe or erasure had been committed.
    after_leaving: int = 0
    #: What our tables say that the sink's log does not bear out.
    disagreements: list[str] = field(default_factory=list)
    #: Our tables: state -> deliveries.
    states: dict[str, int] = field(default_factory=dict)

    def figures(self) -> dict[str, int]:
        """The counts, for the record."""
        counts = {key: value for key, value in asdict(self).items() if isinstance(value, int)}
        return counts | {"disagreements": len(self.disagreements)}

    def __add__(self, other: "Tally") -> "Tally":
        total = Tally(0)
        for name, mine in asdict(self).items():
            theirs = getattr(other, name)
            both = Counter(mine) + Counter(theirs) if isinstance(mine, dict) else mine + theirs
            setattr(total, name, both)
        return total

    def check(self, *, uncertain: int = 0, duplicates: int = 0, still_open: int = 0) -> None:
        """Assert what must hold after every fault; the arguments are what this one allows."""
        assert self.lost == 0, self
        assert self.outside == 0, self
        assert self.foreign == 0, self
        assert self.after_leaving == 0, self
        assert self.unequal == 0, self
        assert self.disagreements == [], self
        assert self.uncertain <= uncertain, self
        assert self.duplicates <= duplicates, self
        assert self.still_open <= still_open, self


def count(world: World, sink: Sink, left: Mapping[str, float] | None = None) -> Tally:
    """Count a run.

    Args:
        world: whose edition was sent.
        sink: which took it.
        left: address -> when its unsubscribe or erasure had been committed, as `time.time()`.
    """
    taken = sink.taken()
    copies: defaultdict[str, list[Taken]] = defaultdict(list)
    for one in taken:
        copies[one.recipient].append(one)
    tally = Tally(frozen=len(world.people), taken=len(taken), reached=len(copies))
    for address, all_of_them in copies.items():
        tally.outside += len(all_of_them) if address not in world.people else 0
        tally.duplicates += len(all_of_them) - 1
        tally.unequal += sum(one.sha256 != all_of_them[0].sha256 for one in all_of_them)
    tally.after_leaving = sum(one.at > (left or {}).get(one.recipient, one.at) for one in taken)
    keyring = world.keyring()
    tally.foreign = sum(
        one.recipient in world.people
        and bool(find_foreign(one.message, world.people[one.recipient], keyring))
        for one in taken
    )
    _compare(tally, world, copies)
    return tally


def _compare(tally: Tally, world: World, copies: Mapping[str, list[Taken]]) -> None:
    """Read our tables, and hold them against the log."""
    rows = world.rows(
        "SELECT id, state, doubts, reason FROM delivery"  # noqa: S608
        f" WHERE edition_id = {world.edition_id}"
    )
    found = {
        delivery_id: (str(state), doubts, reason) for delivery_id, state, doubts, reason in rows
    }
    tally.states = dict(Counter(state for state, _, _ in found.values()))
    for person in world.people.values():
        arrived = person.address in copies
        state, doubts, reason = found.get(person.delivery_id, ("gone", 0, None))
        tally.still_open += state in _OPEN
        tally.uncertain += doubts > 0 or state in _IN_DOUBT
        tally.lost += not arrived and state == "sent"
        if arrived and state not in _IN_DOUBT | {"sent"} and not doubts:
            tally.disagreements.append(f"{person.address} was taken, and is {state} ({reason})")
        if state in {"failed", "skipped", "expired"} and not reason:
            tally.disagreements.append(f"{person.address} is {state} without a reason")
    unknown = found.keys() - {person.delivery_id for person in world.people.values()}
    tally.disagreements += [f"delivery {one} came after the freeze" for one in sorted(unknown)]


def find_foreign(message: bytes, person: Person, keyring: Keyring) -> list[str]:
    """What in a message is somebody else's, and what of its own person's is missing."""
    parsed = message_from_bytes(message)
    to = str(make_header(decode_header(str(parsed["To"]))))
    texts = [str(make_header(decode_header(str(value)))) for value in parsed.values()]
    for part in parsed.walk():
        if not part.is_multipart():
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            texts.append(html.unescape(content.decode("utf-8")))
    whole = "\n".join(texts)
    problems = [f"address {one}" for one in _strange(_ADDRESS, whole, person.address)]
    problems += [f"name {one}" for one in _strange(_NAME, whole, person.name)]
    if person.address not in to or person.name not in to:
        problems.append(f"To: {to}")
    links = [_LEAVE.findall(text) for text in (str(parsed["List-Unsubscribe"]), *texts[-2:])]
    if not all(links):
        problems.append("a part without its own link to unsubscribe")
    for token in {token for found in links for token in found}:
        try:
            (subscription_id,) = keyring.verify(Scope.UNSUBSCRIBE, token, datetime.now(UTC))
        except InvalidToken:
            subscription_id = -1
        if subscription_id != person.subscription_id:
            problems.append(f"link of subscription {subscription_id}")
    return problems


def _strange(pattern: re.Pattern[str], text: str, own: str) -> Iterable[str]:
    return sorted(set(pattern.findall(text)) - {own})
