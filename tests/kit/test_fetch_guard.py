"""Where outgoing requests may lead, however an address is written."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.errors import FetchRefused
from feedsvc.kit.fetch.guard import Guard, Reach, reach_of, read_url

NEVER_PUBLIC = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "169.254.1.1",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "100::1",
    "5f00::1",
]


@pytest.mark.parametrize("address", NEVER_PUBLIC)
def test_an_address_of_no_public_host_is_not_public(address: str) -> None:
    assert reach_of(address) is not Reach.PUBLIC


@pytest.mark.parametrize(
    "address",
    [
        "93.184.215.14",
        "172.32.0.1",
        "100.128.0.1",
        "223.5.5.5",
        "2606:2800:21f:cb07::1",
        "2400:3200::1",
        "::ffff:93.184.215.14",
        "64:ff9b::5db8:d70e",
    ],
)
def test_an_address_of_a_public_host_is_public(address: str) -> None:
    assert reach_of(address) is Reach.PUBLIC


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=300)
def test_what_python_calls_private_is_never_public_in_any_disguise(number: int) -> None:
    plain = ipaddress.IPv4Address(number)
    if not plain.is_global or plain.is_multicast:
        for base in (0, 0xFFFF << 32, 0x64FF9B << 96, 0x2002 << 112 | number << 80):
            disguised = ipaddress.IPv6Address(base | number)
            assert reach_of(str(disguised)) is not Reach.PUBLIC
        assert reach_of(str(plain)) is not Reach.PUBLIC


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "javascript:alert(1)",
        "//example.com/",
        "example.com",
        "",
        "http://",
        "http:///path",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://@example.com/",
        "http://example.com:0/",
        "http://example.com:70000/",
        "http://example.com:x/",
        "http://exa mple.com/",
        "http://example.com/a b",
        "http://example.com/\r\nX: y",
        "http://example.com\\@127.0.0.1/",
        "http://example.com\t/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://127.1/",
        "http://0177.0.0.1/",
        "http://127.0.0.1.1/",
        "http://256.0.0.1/",
        "http://1.2.3.08/",
        "http://[::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[v1.x]/",
        "http://[::1/",
        "http://a..b/",
        "http://.example.com/",
        "http://example.com../",
        "http://-example.com/",
        f"http://{'a' * 64}.com/",
        f"http://{'a.' * 127}com/",
        "http://exa%6dple.com/",
        "http://ex℀mple.com/",
        "http://\ud800.com/",
        "http://example.com/\ud800",
        "http://example.com/" + "a" * 9000,
    ],
)
def test_an_address_that_programs_read_differently_is_refused(url: str) -> None:
    with pytest.raises(FetchRefused):
        read_url(url)


@pytest.mark.parametrize(
    ("url", "authority", "resource"),
    [
        ("http://Example.COM", "example.com", "/"),
        ("https://example.com:443/a?b=c#d", "example.com", "/a?b=c"),
        ("http://example.com.:80/?", "example.com", "/?"),
        ("https://example.com:8443/a;b,c/%E4%BD%A0", "example.com:8443", "/a;b,c/%E4%BD%A0"),
        ("https://例子.测试/路?问=答", "xn--fsqu00a.xn--0zwm56d", "/%E8%B7%AF?%E9%97%AE=%E7%AD%94"),
        ("http://bücher.example/", "xn--bcher-kva.example", "/"),
        ("http://[2606:2800::1]/x", "[2606:2800::1]", "/x"),
        ("http://[2606:2800:0::1]:8080/", "[2606:2800::1]:8080", "/"),
        ("https://example.com?x=1&x=2", "example.com", "/?x=1&x=2"),
        ("https://example.com/a|b", "example.com", "/a%7Cb"),
    ],
)
def test_an_address_is_read_in_one_way(url: str, authority: str, resource: str) -> None:
    target = read_url(url)
    assert (target.authority, target.resource) == (authority, resource)
    assert read_url(target.url) == target


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1./",
        "http://１２７.０.０.１/",  # full-width digits
        "http://127。0。0。1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://example.com:22/",
        "http://example.com:8080/",
    ],
)
def test_what_needs_no_look_up_is_refused_at_once(url: str) -> None:
    with pytest.raises(FetchRefused):
        Guard().read(url)


def test_one_bad_address_among_good_ones_is_refused() -> None:
    guard = Guard()
    target = guard.read("http://mixed.example/")
    guard.check(target, ["93.184.215.14"])
    with pytest.raises(FetchRefused, match=r"127\.0\.0\.1"):
        guard.check(target, ["93.184.215.14", "127.0.0.1"])


def test_the_operator_may_name_hosts_of_their_own() -> None:
    guard = Guard(["reader.lan", "127.0.0.1:8080", "::1", "[fd00::5]:99", "例子.lan"])
    guard.check(guard.read("http://reader.lan/"), ["192.168.1.5"])
    guard.read("http://127.0.0.1:8080/")
    guard.read("http://[::1]/")
    guard.read("http://[fd00::5]:99/")
    guard.check(guard.read("https://例子.lan/"), ["10.0.0.5"])
    for url in ("http://127.0.0.1/", "http://127.0.0.1:8081/", "http://reader.lan:8080/"):
        with pytest.raises(FetchRefused):
            guard.read(url)
    with pytest.raises(FetchRefused):
        guard.check(guard.read("http://other.lan/"), ["192.168.1.5"])


@pytest.mark.parametrize("address", ["169.254.169.254", "224.0.0.1", "0.0.0.0", "fe80::1"])
def test_not_even_a_named_host_leads_to_a_metadata_service(address: str) -> None:
    guard = Guard(["reader.lan"])
    with pytest.raises(FetchRefused):
        guard.check(guard.read("http://reader.lan/"), [address])


def test_a_host_that_is_none_is_refused_when_it_is_named() -> None:
    with pytest.raises(FetchRefused):
        Guard(["not a host"])


@given(st.text(max_size=60))
@settings(max_examples=300)
def test_any_text_is_refused_or_read_the_same_again(text: str) -> None:
    try:
        target = read_url(f"http://{text}")
    except FetchRefused:
        return
    assert read_url(target.url) == target
    assert target.url.isascii()
