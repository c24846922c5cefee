"""What the hub understands, and what it says to what it does not."""

from contextlib import suppress
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.errors import HubRequestRefused
from feedsvc.feeds.hub.requests import (
    HubMode,
    PublishRequest,
    SubscriptionRequest,
    grant_lease,
    read_request,
)
from feedsvc.kit.fetch.guard import Guard

BASE_URL = "https://news.example.com"
PLAIN = {
    "hub.mode": "subscribe",
    "hub.topic": f"{BASE_URL}/feeds/all/rss.xml",
    "hub.callback": "https://reader.example/c?id=1",
}


def read(**changed: str | None) -> SubscriptionRequest | PublishRequest:
    form = {**PLAIN, **{f"hub.{name}": value for name, value in changed.items()}}
    body = urlencode({name: value for name, value in form.items() if value is not None})
    return read_request(body.encode(), Guard(), BASE_URL)


def test_a_request_is_read_as_it_was_meant() -> None:
    assert read(lease_seconds="3600", secret="钥匙 ") == SubscriptionRequest(
        mode=HubMode.SUBSCRIBE,
        topic=f"{BASE_URL}/feeds/all/rss.xml",
        callback="https://reader.example/c?id=1",
        callback_host="reader.example",
        lease_seconds=3600,
        secret="钥匙 ",
    )
    assert read(mode="unsubscribe", secret="", lease_seconds="", verify="async") == (
        SubscriptionRequest(
            HubMode.UNSUBSCRIBE, PLAIN["hub.topic"], PLAIN["hub.callback"], "reader.example"
        )
    )


def test_a_publisher_may_name_its_topics_either_way() -> None:
    body = b"hub.mode=publish&hub.url=a&hub.url=b&hub.topic=c"
    assert read_request(body, Guard(), BASE_URL) == PublishRequest(("c", "a", "b"))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"mode": None}, "hub.mode"),
        ({"mode": "SUBSCRIBE"}, "hub.mode"),
        ({"mode": "denied"}, "hub.mode"),
        ({"mode": "publish", "topic": None}, "hub.url"),
        ({"topic": None}, "hub.topic is missing"),
        ({"topic": "x" * 3000}, "too long"),
        ({"callback": None}, "hub.callback is missing"),
        ({"callback": "reader.example/c"}, "https://"),
        ({"callback": "ftp://reader.example/"}, "https://"),
        ({"callback": "javascript:alert(1)"}, "https://"),
        ({"callback": "https://u:p@reader.example/"}, "password"),
        ({"callback": "https://reader.example/#x"}, "no #"),
        ({"callback": "https://reader.example/ x"}, "blanks"),
        ({"callback": "https://reader.example:6379/"}, "port 6379"),
        ({"callback": "http://127.0.0.1/"}, "no public address"),
        ({"callback": "http://2130706433/"}, "neither a name"),
        ({"callback": "http://[::ffff:10.0.0.1]/"}, "no public address"),
        ({"callback": "https://reader.example/" + "x" * 2000}, "2000"),
        ({"callback": f"{BASE_URL}/hub"}, "this site itself"),
        ({"callback": "http://NEWS.example.com./feeds/"}, "this site itself"),
        ({"lease_seconds": "ten"}, "number of seconds"),
        ({"lease_seconds": "-1"}, "number of seconds"),
        ({"lease_seconds": "1" * 30}, "number of seconds"),
        ({"lease_seconds": "٣"}, "number of seconds"),
        ({"secret": "x" * 200}, "200 bytes"),
        ({"secret": "钥" * 67}, "200 bytes"),
        ({"secret": "a\0b"}, "control"),
    ],
)
def test_a_mistake_is_said_in_a_sentence(changed: dict[str, str | None], why: str) -> None:
    with pytest.raises(HubRequestRefused, match=why) as refused:
        read(**changed)
    assert refused.value.status == 400


@pytest.mark.parametrize("secret", ["x" * 199, "钥" * 66])
def test_a_secret_may_have_199_bytes(secret: str) -> None:
    request = read(secret=secret)
    assert isinstance(request, SubscriptionRequest)
    assert request.secret == secret


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xff\xfe", 400),
        (b"hub.mode=subscribe&hub.topic=%FF%FE", 400),
        (b"hub.mode=subscribe&hub.mode=unsubscribe", 400),
        (b"a=b&" * 200, 400),
        (b"x" * 8193, 413),
    ],
    ids=["nothing", "no text", "no UTF-8", "two modes", "many", "large"],
)
def test_what_is_no_form_is_refused(body: bytes, status: int) -> None:
    with pytest.raises(HubRequestRefused) as refused:
        read_request(body, Guard(), BASE_URL)
    assert refused.value.status == status


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_no_bytes_get_anything_but_a_request_or_a_refusal(body: bytes) -> None:
    with suppress(HubRequestRefused):
        request = read_request(b"hub.mode=subscribe&" + body, Guard(), BASE_URL)
        assert isinstance(request, SubscriptionRequest)


@given(st.none() | st.integers(1, 10**19), st.floats(0.01, 60))
def test_a_lease_is_never_longer_than_it_may_be(asked: int | None, days: float) -> None:
    assert 0 < grant_lease(asked, days) <= days * 86400
