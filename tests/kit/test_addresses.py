"""Addresses: what goes on the wire, what is compared, and what is refused."""

from email.utils import getaddresses

import aiosmtplib.email
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.errors import InvalidAddress
from feedsvc.kit.addresses import parse_address


def test_the_local_part_goes_on_the_wire_as_given_and_is_compared_in_lower_case() -> None:
    address = parse_address("Alice.Liddell+News@Example.TEST")
    assert address.wire == "Alice.Liddell+News@example.test"
    assert address.key == "alice.liddell+news@example.test"
    assert address.domain == "example.test"
    assert not address.smtputf8


@pytest.mark.parametrize(
    ("given_text", "wire", "smtputf8"),
    [
        ("lilei@例子.广告", "lilei@xn--fsqu00a.xn--4rr70v", False),
        ("lilei@例子。广告", "lilei@xn--fsqu00a.xn--4rr70v", False),
        ("lilei@XN--FSQU00A.XN--4RR70V", "lilei@xn--fsqu00a.xn--4rr70v", False),
        ("李雷@例子.广告", "李雷@xn--fsqu00a.xn--4rr70v", True),
        ("李雷@example.test", "李雷@example.test", True),
        ("e\u0301@example.test", "\u00e9@example.test", True),
    ],
)
def test_only_a_local_part_beyond_ascii_needs_smtputf8(
    given_text: str, wire: str, smtputf8: bool
) -> None:
    address = parse_address(given_text)
    assert (address.wire, address.smtputf8) == (wire, smtputf8)
    assert address.domain.isascii()


def test_spaces_around_a_typed_address_do_not_matter() -> None:
    assert parse_address("  alice@example.test ") == parse_address("alice@example.test")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@example.test",
        "alice",
        "alice@",
        "alice@localhost",
        "alice@example..test",
        "alice@[127.0.0.1]",
        "alice@example.test\r\nBcc: bob@example.test",
        "alice@example.test\n",
        "al\x00ice@example.test",
        "alice\u2028@example.test",
        "a@b.test,c@d.test",
        "a@b.test, c@d.test",
        "a@b.test;c@d.test",
        '"alice"@example.test',
        '"a b"@example.test',
        "alice(home)@example.test",
        "Alice <alice@example.test>",
        "<alice@example.test>",
        "alice smith@example.test",
        "alice\u3000@example.test",
        "=?utf-8?q?bob=40example.test=3e?=@example.test",
        "alice\u200d@example.test",
        "alice@example.test" + "x" * 300,
        "a" * 60 + "@" + ".".join(["d" * 60] * 4) + ".test",
        "al\ud800ice@example.test",
    ],
    ids=ascii,
)
def test_what_is_not_one_plain_address_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidAddress) as raised:
        parse_address(text)
    assert "alice" not in str(raised.value)
    assert "b.test" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "ſam@example.test",
        "mi\u212ae@example.test",
        "ａlice@example.test",
        "a\uff4cice@example.test",
        "ﬁona@example.test",
        "al\u0131ce@example.test",
        "al\u0130ce@example.test",
        "\u2115ina@example.test",
        "李ſ雷@example.test",
    ],
    ids=ascii,
)
def test_letters_that_unicode_folds_to_ascii_cannot_stand_for_another_person(text: str) -> None:
    with pytest.raises(InvalidAddress, match="easily taken for others"):
        parse_address(text)


def test_letters_of_another_script_that_only_look_alike_are_another_mailbox() -> None:
    cyrillic = parse_address("\u0430lice@example.test")
    assert cyrillic.key != parse_address("alice@example.test").key


_local = st.text(alphabet=st.characters(exclude_categories=()), min_size=1, max_size=20)
_domain = st.sampled_from(["example.test", "EXAMPLE.test", "例子.广告", "bücher.example"])


@settings(max_examples=200, deadline=None)
@given(_local, _domain)
def test_an_accepted_address_is_one_address_to_every_program(local: str, domain: str) -> None:
    try:
        address = parse_address(f"{local}@{domain}")
    except InvalidAddress:
        return
    assert aiosmtplib.email.parse_address(address.wire) == address.wire
    assert getaddresses([f"Somebody <{address.wire}>"]) == [("Somebody", address.wire)]
    assert parse_address(address.wire).key == address.key
    assert parse_address(address.key).key == address.key


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abkKsSſKａＡ.iıİI李é", min_size=1, max_size=5))
def test_two_addresses_share_a_key_only_when_they_differ_in_ascii_case(local: str) -> None:
    try:
        address = parse_address(f"{local}@example.test")
    except InvalidAddress:
        return
    assert address.key.isascii() == local.isascii()
    if local.isascii():
        assert address.key == f"{local}@example.test".lower()
