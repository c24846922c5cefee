"""Tokens cannot be forged or moved, and the key file stays private and whole."""

import base64
import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.db.engine import Database
from feedsvc.errors import InvalidToken, KeyFileError
from feedsvc.kit.key_check import check_keys
from feedsvc.kit.tokens import Keyring, Scope

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
OLD, NEW = b"o" * 32, b"n" * 32
RETURN_TOKENS = {
    1: "702t58s2kezvp",
    123456: "aaun7eflvq2bsbgi",
    1152921504606846975: "y3mdbdhy3uq90n01wcpjf3os",
}


def _ring(current: str = "new", **keys: bytes) -> Keyring:
    return Keyring(current, keys or {"old": OLD, "new": NEW})


def _write(path: Path, body: object, mode: int = 0o600) -> Path:
    path.write_text(json.dumps(body))
    path.chmod(mode)
    return path


_numbers = st.lists(st.integers(min_value=0, max_value=2**63 - 1), max_size=4)


@given(st.sampled_from(Scope), _numbers)
def test_a_token_gives_back_the_numbers_it_was_signed_for(scope: Scope, numbers: list[int]) -> None:
    token = _ring().sign(scope, *numbers)
    assert _ring().verify(scope, token, NOW) == tuple(numbers)


@given(st.sampled_from(Scope), _numbers)
def test_a_token_can_stand_in_an_address_of_the_web(scope: Scope, numbers: list[int]) -> None:
    token = _ring().sign(scope, *numbers, expires_at=NOW)
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_token_has_at_least_128_bits_of_signature() -> None:
    shortest = _ring("k", k=NEW).sign(Scope.VIEW)
    payload = 1 + 1 + len("k") + 1 + 1  # version, length, key id, scope, no expiry
    assert (len(base64.urlsafe_b64decode(shortest + "==")) - payload) * 8 >= 128


def _refusal(ring: Keyring, scope: Scope, token: str) -> str:
    with pytest.raises(InvalidToken) as raised:
        ring.verify(scope, token, NOW)
    return str(raised.value)


def test_no_single_bit_can_be_changed() -> None:
    token = _ring().sign(Scope.UNSUBSCRIBE, 7, 1234567)
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        forged = base64.urlsafe_b64encode(bytes(changed)).rstrip(b"=").decode()
        _refusal(_ring(), Scope.UNSUBSCRIBE, forged)


@settings(max_examples=300)
@given(st.data())
def test_no_single_character_can_be_changed_added_or_left_out(data: st.DataObject) -> None:
    token = _ring().sign(Scope.CONFIRM, 41, 1_772_000_000, expires_at=NOW + timedelta(days=2))
    at = data.draw(st.integers(0, len(token)))
    kind = data.draw(st.sampled_from(["change", "add", "cut"]))
    character = data.draw(st.sampled_from("Aa0-_=@ \n李"))
    forged = {
        "change": token[:at] + character + token[at + 1 :],
        "add": token[:at] + character + token[at:],
        "cut": token[:at],
    }[kind]
    if forged != token:
        _refusal(_ring(), Scope.CONFIRM, forged)


def test_every_refusal_reads_the_same() -> None:
    ring = _ring()
    token = ring.sign(Scope.UNSUBSCRIBE, 7)
    texts = {
        _refusal(ring, Scope.VIEW, token),
        _refusal(ring, Scope.UNSUBSCRIBE, token[:-1]),
        _refusal(ring, Scope.UNSUBSCRIBE, token + "A"),
        _refusal(ring, Scope.UNSUBSCRIBE, ""),
        _refusal(ring, Scope.UNSUBSCRIBE, "%"),
        _refusal(ring, Scope.UNSUBSCRIBE, "A" * 5000),
        _refusal(ring, Scope.UNSUBSCRIBE, ring.sign(Scope.UNSUBSCRIBE, 7, expires_at=NOW)),
        _refusal(_ring("new", new=OLD), Scope.UNSUBSCRIBE, token),
        _refusal(_ring("other", other=NEW), Scope.UNSUBSCRIBE, token),
    }
    assert len(texts) == 1


def test_a_token_holds_until_the_second_it_expires() -> None:
    token = _ring().sign(Scope.CONFIRM, 1, expires_at=NOW + timedelta(hours=48))
    assert _ring().verify(Scope.CONFIRM, token, NOW + timedelta(hours=48, seconds=-1)) == (1,)
    with pytest.raises(InvalidToken):
        _ring().verify(Scope.CONFIRM, token, NOW + timedelta(hours=48))


def test_after_a_rotation_old_links_work_and_new_ones_are_signed_by_the_new_key() -> None:
    before = _ring("old", old=OLD)
    after = _ring("new", old=OLD, new=NEW)
    assert after.verify(Scope.UNSUBSCRIBE, before.sign(Scope.UNSUBSCRIBE, 5), NOW) == (5,)
    with pytest.raises(InvalidToken):
        before.verify(Scope.UNSUBSCRIBE, after.sign(Scope.UNSUBSCRIBE, 5), NOW)
    assert after.derive("message-id", 1, 2) == before.derive("message-id", 1, 2)


def test_what_is_derived_differs_by_purpose_and_by_how_the_parts_are_cut() -> None:
    ring = _ring()
    values = [
        ring.derive("a", 1, 23),
        ring.derive("a", 12, 3),
        ring.derive("a", "1", "23"),
        ring.derive("a", 123),
        ring.derive("b", 1, 23),
        ring.derive("a", "1", 23),
    ]
    assert len(set(values)) == len(values)
    assert all(len(value) == 32 for value in values)


def test_negative_numbers_and_naive_times_are_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="negative"):
        _ring().sign(Scope.VIEW, -1)
    with pytest.raises(ValueError, match="zone"):
        _ring().sign(Scope.VIEW, 1, expires_at=NOW.replace(tzinfo=None))


def test_a_created_key_file_is_private_and_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "data" / "keys.json"
    created = Keyring.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["keys.json"]
    loaded = Keyring.load(path)
    assert (loaded.current_id, loaded.ids) == (created.current_id, created.ids)
    assert loaded.fingerprint(loaded.current_id) == created.fingerprint(created.current_id)
    with pytest.raises(KeyFileError, match="already"):
        Keyring.create(path)


def test_processes_that_start_together_use_one_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as pool:
        rings = list(pool.map(lambda _: Keyring.open(path), range(8)))
    assert len({ring.fingerprint(ring.current_id) for ring in rings}) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_file_open_to_others_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.json"
    Keyring.create(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        Keyring.open(path)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"current": "a", "keys": {}},
        {"current": "a", "keys": {"b": base64.b64encode(NEW).decode()}},
        {"current": "a", "keys": {"a": "c2hvcnQ="}},
        {"current": "a", "keys": {"a": "not base64!"}},
        {"current": "a", "keys": {"a": 5}},
        {"current": "../a", "keys": {"../a": base64.b64encode(NEW).decode()}},
        {"current": ["a"], "keys": {"a": base64.b64encode(NEW).decode()}},
    ],
    ids=str,
)
def test_a_damaged_key_file_is_refused_without_showing_a_key(tmp_path: Path, body: object) -> None:
    path = _write(tmp_path / "keys.json", body)
    with pytest.raises(KeyFileError, match=r"keys\.json") as raised:
        Keyring.load(path)
    assert base64.b64encode(NEW).decode() not in str(raised.value)


def test_a_keyring_does_not_show_its_keys() -> None:
    assert repr(OLD)[2:-1] not in repr(_ring())


@pytest.mark.anyio
async def test_a_key_the_database_knows_cannot_go_missing(database: Database) -> None:
    async with database.write() as session:
        await check_keys(session, _ring("old", old=OLD), NOW)
    async with database.write() as session:  # a new key is welcome
        await check_keys(session, _ring("new", old=OLD, new=NEW), NOW)
        await check_keys(session, _ring("new", old=OLD, new=NEW), NOW)
    async with database.read() as session:
        with pytest.raises(KeyFileError, match="lacks the key 'old'"):
            await check_keys(session, _ring("new", new=NEW), NOW)
        with pytest.raises(KeyFileError, match="'new' in the key file is not the one"):
            await check_keys(session, _ring("new", old=OLD, new=OLD), NOW)


def _return_refusal(ring: Keyring, token: str) -> str:
    with pytest.raises(InvalidToken) as raised:
        ring.verify_return(token)
    return str(raised.value)


@given(st.integers(1, 2**60 - 1))
def test_a_return_path_tells_its_delivery_whatever_becomes_of_its_case(delivery: int) -> None:
    token = _ring().sign_return(delivery)
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyz0123456789")
    assert len(token) <= 64 - 40
    for spelling in (token, token.upper(), token.title()):
        assert _ring().verify_return(spelling) == delivery


def test_old_mails_hold_return_tokens_of_this_form() -> None:
    tokens = {number: _ring().sign_return(number) for number in (1, 123_456, 2**60 - 1)}
    assert tokens == RETURN_TOKENS


def test_a_return_token_has_at_least_64_bits_of_signature() -> None:
    # What is above them is the number of the delivery, and nothing is left of it.
    assert [int(_ring().sign_return(number), 36) >> 64 for number in (1, 7)] == [1, 7]


@settings(max_examples=300)
@given(st.data())
def test_no_character_of_a_return_token_can_be_changed_added_or_left_out(
    data: st.DataObject,
) -> None:
    token = _ring().sign_return(123_456)
    at = data.draw(st.integers(0, len(token)))
    kind = data.draw(st.sampled_from(["change", "add", "cut"]))
    character = data.draw(st.sampled_from("0a9z_-+. \n李٣ſK"))
    forged = {
        "change": token[:at] + character + token[at + 1 :],
        "add": token[:at] + character + token[at:],
        "cut": token[:at],
    }[kind]
    if forged != token:
        _return_refusal(_ring(), forged)


def test_return_tokens_have_one_spelling_and_refusals_one_text() -> None:
    token = _ring().sign_return(7)
    number = int(token, 36)
    texts = {
        _return_refusal(_ring(), forged)
        for forged in (
            *(
                "",
                "0",
                f"0{token}",
                f"+{token}",
                f" {token}",
                f"{token}\n",
                f"{token[:5]}_{token[5:]}",
            ),
            *(token.replace("k", "\u212a") + "\u212a", token.translate({55: "７"}) + "７"),
            *("z" * 24, "1" * 13, "a" * 5000),
            *(_base36(number ^ 1 << bit) for bit in range(70)),
            _ring("new", new=b"x" * 32).sign_return(7),
        )
    }
    assert len(texts) == 1


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits


def test_after_a_rotation_mail_still_comes_back() -> None:
    before, after = _ring("old", old=OLD), _ring("new", old=OLD, new=NEW)
    assert after.verify_return(before.sign_return(5)) == 5
    assert after.verify_return(after.sign_return(5)) == 5
    assert after.sign_return(5) != before.sign_return(5)
    _return_refusal(before, after.sign_return(5))


@pytest.mark.parametrize("delivery", [0, -1, 2**60])
def test_a_return_path_carries_no_other_number(delivery: int) -> None:
    with pytest.raises(ValueError, match="cannot carry"):
        _ring().sign_return(delivery)
