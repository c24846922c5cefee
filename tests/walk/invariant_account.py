"""The simpler account: what should have become of every article for every reader, in plain Python.

It knows what was told to the product (articles, choices, what operators did) and what the relay
was handed, and is shown the cursors and windows of the rows after every round. Each movement of a
cursor must be accounted for: by a mail that holds exactly what it should, by a rule, or because
there was nothing for the reader.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from invariant_relay import NO, Handed

MAX_ITEMS = {"city.morning": 2, "desk.daily": 3}
_USUAL_MAX = 30
DROPS = ("city.weekly", "late.daily")


@dataclass
class Told:
    """An article as it was told to the product."""

    number: int
    source: str
    topics: tuple[str, ...]
    section: str
    date: datetime
    story: int
    is_old: bool = False
    edits: int = 0
    is_withdrawn: bool = False
    seq: int | None = None
    id: int = 0


@dataclass
class Consent:
    """A person and a newsletter, as they chose."""

    person: int
    newsletter: str
    schedule: str
    topics: tuple[str, ...]
    state: str = "active"
    until: datetime | None = None
    resume: str = "catch_up"
    id: int = 0
    #: Where their windows begin, and how far these have been accounted for.
    start: int = 0
    cursor: int = 0
    #: Numbers `(from, to]` and what settled them.
    settled: list[tuple[int, int, str]] = field(default_factory=list)


@dataclass
class Mail:
    """A digest to one reader."""

    id: int
    consent: Consent
    edition_id: int
    from_seq: int
    cut_seq: int
    limit: int
    #: Articles that are certainly, and those that are perhaps news to them; newest first.
    due: tuple[int, ...]
    maybe: frozenset[int]
    #: Of a story that they have, or get here.
    duplicates: frozenset[int]
    state: str = ""
    reason: str = ""
    doubts: int = 0
    handed: list[Handed] = field(default_factory=list)

    @property
    def shown(self) -> tuple[frozenset[int], int]:
        """What the last copy shows and counts."""
        return self.handed[-1].read() if self.handed else (frozenset(), 0)

    @property
    def is_settling(self) -> bool:
        """Whether its window is behind the reader because of it."""
        return self.state in ("sent", "held") or self.is_emptied

    @property
    def is_emptied(self) -> bool:
        return self.state == "skipped" and self.reason.startswith("nothing is left")


@dataclass
class Seen:
    """The rows, after a round."""

    now: datetime
    #: Subscription id -> cursor, state.
    cursors: dict[int, tuple[int, str]]
    #: id, edition_id, subscription_id, from_seq, cut_seq, state, reason, doubts, message_id.
    deliveries: list[Any]
    #: Subscription id, from, to, what, of jumps written into the log.
    jumps: list[tuple[int, int, int, str]]
    #: Edition id -> (newsletter, schedule or None, curation, state, cut_seq of its newest wave).
    editions: dict[int, tuple[str, str | None, frozenset[int], str, int]]
    #: wave id, edition id, due_at, cut_seq, missed, composed.
    waves: list[tuple[int, int, datetime, int, str | None, bool]]
    newest: int


class Account:
    """Articles, consents and mails, and what became of each article for each consent."""

    def __init__(self) -> None:
        self.articles: dict[int, Told] = {}
        self.consents: dict[tuple[int, str], Consent] = {}
        self.mails: dict[int, Mail] = {}
        #: Newsletter -> article numbers that its operator keeps out for good.
        self.kept_out: dict[str, set[int]] = defaultdict(set)
        #: Editions that the operator gave up with their articles.
        self.given_up: set[int] = set()
        #: Subscriptions whose cursor may go back: a person decided so about a held mail.
        self.may_go_back: set[int] = set()
        self._handed = 0
        self._jumps = 0
        self._composed: set[int] = set()
        #: Mails that are new since the last look.
        self._fresh: list[Mail] = []

    # -- what is a reader's ----------------------------------------------------------------------

    def by_seq(self) -> dict[int, Told]:
        """The published articles by their numbers."""
        return {one.seq: one for one in self.articles.values() if one.seq is not None}

    def is_theirs(self, article: Told, consent: Consent) -> bool:
        """Whether an announced article is in the newsletter, and of the reader's topics, now."""
        if article.is_old or (consent.newsletter == "city" and article.section == "ads"):
            return False
        return not consent.topics or not set(consent.topics).isdisjoint(article.topics)

    def expected(
        self, consent: Consent, from_seq: int, cut_seq: int, dropped: frozenset[int]
    ) -> tuple[tuple[int, ...], frozenset[int], frozenset[int]]:
        """Of a window: what is news to the reader, what may be, and what is told already."""
        surely, perhaps = self._told_before(consent, from_seq)
        due: list[Told] = []
        maybe: set[int] = set()
        duplicates: set[int] = set()
        for seq, one in sorted(self.by_seq().items()):
            if not from_seq < seq <= cut_seq or not self.is_theirs(one, consent):
                continue
            if one.is_withdrawn or one.id in dropped:
                continue
            if one.number in self.kept_out[consent.newsletter]:
                continue
            if one.story in surely:
                duplicates.add(one.number)
                continue
            if one.story in perhaps:
                maybe.add(one.number)
            else:
                due.append(one)
            surely.add(one.story)
        due.sort(key=lambda one: (one.date, one.seq), reverse=True)
        return tuple(one.number for one in due), frozenset(maybe), frozenset(duplicates)

    def _told_before(self, consent: Consent, from_seq: int) -> tuple[set[int], set[int]]:
        """Stories of which they have an article; and those of which they may have been told."""
        surely: set[int] = set()
        perhaps: set[int] = set()
        for mail in self.mails.values():
            if mail.consent is not consent or mail.state not in ("sent", "held"):
                continue
            shown, more = mail.shown
            for number in {*mail.due, *mail.maybe, *shown}:
                one = self.articles[number]
                if (one.seq or 0) > from_seq:
                    continue
                # What was only counted, and is withdrawn by now, may have gone before the mail.
                counted = number in mail.due and more and not one.is_withdrawn
                (surely if number in shown or counted else perhaps).add(one.story)
        return surely, perhaps - surely

    # -- what is seen ----------------------------------------------------------------------------

    def look(self, seen: Seen, handed: list[Handed]) -> None:
        """Account for everything that has happened since the last look."""
        settled_now = self._note_mails(seen)
        self._note_handed(seen, handed)
        jumps = seen.jumps[self._jumps :]
        self._jumps = len(seen.jumps)
        for consent in self.consents.values():
            if consent.id in seen.cursors:
                self._note_cursor(consent, seen, settled_now[consent.id], jumps)
        self._composed |= {wave for wave, *_, composed in seen.waves if composed}
        self.may_go_back.clear()
        self.check_copies()

    def _note_mails(self, seen: Seen) -> dict[int, list[Mail]]:
        settled_now: dict[int, list[Mail]] = defaultdict(list)
        by_id = {one.id: one for one in self.consents.values()}
        fresh = []
        for row in seen.deliveries:
            mail = self.mails.get(row.id)
            if mail is None:
                newsletter, schedule, *_ = seen.editions[row.edition_id]
                limit = MAX_ITEMS.get(f"{newsletter}.{schedule}", _USUAL_MAX)
                consent = by_id[row.subscription_id]
                assert consent.newsletter == newsletter
                mail = Mail(
                    row.id, consent, row.edition_id, row.from_seq, row.cut_seq, limit,
                    (), frozenset(), frozenset(),
                )  # fmt: skip
                self.mails[row.id] = mail
                fresh.append(mail)
            was = mail.is_settling
            mail.state, mail.reason, mail.doubts = row.state, row.reason or "", row.doubts
            if mail.is_settling and not was:
                settled_now[mail.consent.id].append(mail)
        self._fresh = fresh
        return settled_now

    def _note_handed(self, seen: Seen, handed: list[Handed]) -> None:
        by_message = {row.message_id: self.mails[row.id] for row in seen.deliveries}
        for one in handed[self._handed :]:
            mail = by_message.get(one.message_id)
            if mail is not None:
                if mail.handed and mail.handed[-1].answer not in NO:
                    assert mail.handed[-1].content == one.content, "a resend is not byte for byte"
                self._check_right(mail.consent, one)
                mail.handed.append(one)
        self._handed = len(handed)
        for mail in sorted(self._fresh, key=lambda one: one.from_seq):
            dropped = seen.editions[mail.edition_id][2]
            mail.due, mail.maybe, mail.duplicates = self.expected(
                mail.consent, mail.from_seq, mail.cut_seq, dropped
            )
            assert mail.due or mail.maybe, f"{_name(mail)} was written, and has nothing to say"

    def _check_right(self, consent: Consent, one: Handed) -> None:
        rested = consent.until is not None and consent.until <= one.at
        assert consent.state == "active" or (consent.state == "paused" and rested), (
            f"person {consent.person} was mailed though {consent.state}"
        )

    def _note_cursor(
        self,
        consent: Consent,
        seen: Seen,
        mails: list[Mail],
        jumps: list[tuple[int, int, int, str]],
    ) -> None:
        cursor, state = seen.cursors[consent.id]
        if state == "active" and consent.state == "paused":
            assert consent.until is not None
            assert consent.until <= seen.now
            consent.state, consent.until = "active", None
        assert consent.state == state, f"{consent} is {state}"
        assert cursor <= seen.newest, "a cursor is ahead of the articles"
        if cursor < consent.cursor:
            assert consent.id in self.may_go_back, f"the cursor of {consent} went back to {cursor}"
            undone = [one for one in consent.settled if one[1] > cursor]
            assert [one[:2] for one in undone] == [(cursor, consent.cursor)], undone
            consent.settled.remove(undone[0])
            consent.cursor = cursor
            return
        steps = [(one.from_seq, one.cut_seq, one) for one in mails]
        steps += [
            (max(start, consent.cursor), to, what)
            for who, start, to, what in jumps
            if who == consent.id
        ]
        steps.sort(key=lambda one: one[:2])
        at = consent.cursor
        for start, to, what in steps:
            if not at <= start or to > cursor:
                continue  # it came too late to move the cursor
            self._account_for_gap(consent, seen, at, start)
            if isinstance(what, Mail):
                self._check_mail(what)
                consent.settled.append((start, to, _name(what)))
            elif to > start:
                consent.settled.append((start, to, what))
            at = to
        self._account_for_gap(consent, seen, at, cursor)
        consent.cursor = cursor

    def _account_for_gap(self, consent: Consent, seen: Seen, at: int, to: int) -> None:
        """A cursor moved without a mail: by a rule, or because nothing was for them."""
        if to <= at:
            return
        dropped = self._dropped_to(consent, seen, at, to)
        if dropped > at:
            consent.settled.append((at, dropped, "dropped by rule"))
        if to > dropped:
            # Whichever edition passed them by, it left out what its operator dropped.
            curated = frozenset(
                article
                for _, edition, _, cut_seq, *_ in seen.waves
                if seen.editions[edition][0] == consent.newsletter and dropped < cut_seq <= to
                for article in seen.editions[edition][2]
            )
            due, _, _ = self.expected(consent, dropped, to, curated)
            assert not due, (
                f"articles {due} passed person {consent.person} of {consent.newsletter} by,"
                f" numbers {dropped} to {to}"
            )
            consent.settled.append((dropped, to, "nothing for them"))

    def _dropped_to(self, consent: Consent, seen: Seen, at: int, to: int) -> int:
        """How far a rule moved a cursor: a missed period, or a cancel with the articles."""
        cuts = [at]
        for wave, edition, due_at, cut_seq, missed, _ in seen.waves:
            newsletter, schedule, *_ = seen.editions[edition]
            if newsletter != consent.newsletter or schedule not in (None, consent.schedule):
                continue
            is_fresh = wave not in self._composed
            if missed == "drop" and is_fresh and at < cut_seq <= to:
                assert f"{newsletter}.{schedule}" in DROPS
                assert seen.now - due_at > timedelta(hours=1)
                cuts.append(cut_seq)
        for edition in self.given_up:
            newsletter, schedule, _, _, cut_seq = seen.editions[edition]
            mine = newsletter == consent.newsletter and schedule in (None, consent.schedule)
            if mine and at < cut_seq <= to:
                cuts.append(cut_seq)
        return max(cuts)

    # -- what must hold --------------------------------------------------------------------------

    def _check_mail(self, mail: Mail) -> None:
        """A mail that settles its window holds what is the reader's, all of it, and no more."""
        shown, more = mail.shown
        name = f"{_name(mail)}, which shows {sorted(shown)} and {more} more"
        gone = {one for one in (*mail.due, *mail.maybe) if self.articles[one].is_withdrawn}
        was_changed = bool(gone - shown)
        everything = {*mail.due, *mail.maybe}
        allowed = everything | (mail.duplicates if was_changed else frozenset())
        assert shown <= allowed, f"{name} should show of {sorted(allowed)}"
        if mail.is_emptied:
            assert not set(mail.due) - gone, f"{name} was emptied, and is not empty"
            return
        if not mail.handed and mail.doubts:
            return  # the process died between the mark and the handover
        assert mail.handed, f"{name} is {mail.state}, and was never handed over"
        if not was_changed and not mail.maybe:
            assert shown == set(mail.due[: mail.limit]), f"{name} should show {mail.due}"
            assert more == len(mail.due) - len(shown), f"{name}: {mail.due}"
        else:
            left = everything - shown
            assert len(left - gone - mail.maybe) <= more <= len(left | mail.duplicates), name

    def check_copies(self) -> None:
        """Nobody has two copies of an article, but of mails that got no reply."""
        holding: dict[tuple[int, int], list[Mail]] = defaultdict(list)
        for mail in self.mails.values():
            arrived = sum(one.arrived for one in mail.handed)
            replied = mail.state == "sent" and not mail.reason.startswith("arrived, the operator")
            assert arrived <= mail.doubts + replied, f"{_name(mail)} arrived {arrived} times"
            assert arrived >= replied, f"{_name(mail)} is sent, and never arrived"
            # What arrived by the operator's word may have been repeated before they said so.
            if replied or mail.state == "held":
                shown, _ = mail.shown
                for number in {*mail.due, *shown} if mail.handed else shown:
                    holding[mail.consent.id, number].append(mail)
        for (_, number), mails in holding.items():
            assert len(mails) == 1, f"article {number} is in {' and in '.join(map(_name, mails))}"

    def check_whole(self, newest: int) -> None:
        """Every number since a reader came is settled once, up to their cursor; for all to the end.

        Who is not there, or cannot be reached, has what is left before them still.
        """
        for consent in self.consents.values():
            at = consent.start
            for start, to, what in consent.settled:
                assert start == at, f"{consent}: {what} begins at {start}, and not at {at}"
                at = to
            assert at == consent.cursor, f"{consent} is accounted for up to {at}"
            if consent.state == "active":
                assert consent.cursor == newest, f"{consent} was not settled up to {newest}"


def _name(mail: Mail) -> str:
    consent = mail.consent
    return (
        f"mail {mail.id} of edition {mail.edition_id} to person {consent.person} of"
        f" {consent.newsletter}, ({mail.from_seq}, {mail.cut_seq}], {mail.state}"
    )
