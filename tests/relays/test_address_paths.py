"""What goes on the wire is the address in the row, or nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.errors import InvalidAddress
from feedsvc.relays.path import encode_path, encode_return_path


@pytest.mark.parametrize(
    "address",
    [
        "alice@example.com",
        "a.b+c=d{e}|f~!#$%&'*/?^_`g@example.com",
        "lilei@xn--fsqu00a.xn--4rr70v",
        "李雷@xn--fsqu00a.xn--4rr70v",
        "postmaster@[192.0.2.1]",
        "postmaster@[IPv6:2001:db8::1]",
        "user%elsewhere.example@example.com",
        "a@localhost",
    ],
)
def test_an_address_is_written_byte_for_byte(address: str) -> None:
    assert encode_path(address) == b"<" + address.encode() + b">"


def test_the_null_return_path_is_empty_brackets() -> None:
    assert encode_return_path("") == b"<>"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "alice",
        "@example.com",
        "alice@",
        "alice@exa mple.com",
        "al ice@example.com",
        "alice@example.com\r\nRCPT TO:<eve@example.com>",
        "alice@example.com>\r\nDATA",
        "alice\x00@example.com",
        "alice@example.com\n",
        '"alice"@example.com',
        '"x\r\ny"@example.com',
        "alice(comment)@example.com",
        "alice@example.com,eve@example.com",
        "<alice@example.com>",
        "@relay.example:alice@example.com",
        "alice..b@example.com",
        ".alice@example.com",
        "alice@-example.com",
        "alice@example..com",
        "alice@例子.广告",
        "alice\u3000@example.com",
        "alice\u2028@example.com",
        "alice\ud800@example.com",
        "a" * 65 + "@example.com",
        "a@" + "b" * 64 + ".com",
        "a@" + "b." * 130 + "com",
    ],
)
def test_an_address_that_could_be_read_otherwise_is_refused(address: str) -> None:
    with pytest.raises(InvalidAddress):
        encode_path(address)


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_refused_or_written_as_it_is(text: str) -> None:
    for address in (text, text + "@example.com", "alice@" + text):
        try:
            path = encode_path(address)
        except InvalidAddress:
            continue
        assert path == b"<" + address.encode() + b">"
        assert not set(path[1:-1]) & set(b'\r\n\0 <>",;:()') or b"[" in path
