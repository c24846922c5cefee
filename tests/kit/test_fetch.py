"""Asking other hosts: real servers on loopback, and the bounds that hold against hostile ones."""

import asyncio
import gzip
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from http_sink import Answer, Asked, HttpSink

from feedsvc.errors import FetchFailed, FetchRefused
from feedsvc.kit.fetch import Fetcher, FetchLimits

pytestmark = pytest.mark.anyio

QUICK = FetchLimits(total_seconds=0.3, step_seconds=0.2, body_bytes=100_000)


def names(table: dict[str, list[list[str]]]) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    """A name service: each look-up of a name takes its next answer, and the last one stays."""

    async def resolve(host: str, _port: int) -> Sequence[str]:
        answers = table.get(host)
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    return resolve


@pytest.fixture
async def sink() -> AsyncIterator[HttpSink]:
    sink = await HttpSink().start()
    yield sink
    await sink.stop()


@pytest.fixture
async def fetcher(sink: HttpSink) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(allow=[sink.host], agent="feedsvc-test")
    yield fetcher
    await fetcher.close()


async def test_a_page_is_fetched_with_the_headers_it_takes(
    sink: HttpSink, fetcher: Fetcher
) -> None:
    sink.answers = lambda _asked: Answer(201, "你好".encode(), {"X-One": "a", "x-one": "b"})
    fetched = await fetcher.request("GET", f"{sink.url}/路?a=b", headers={"Accept": "text/plain"})
    assert (fetched.status, fetched.body.decode(), fetched.is_success) == (201, "你好", True)
    assert fetched.headers["x-one"] == "a, b"
    (asked,) = sink.asked
    assert asked.target == "/%E8%B7%AF?a=b"
    assert asked.headers["host"] == sink.host
    assert asked.headers["user-agent"] == "feedsvc-test"
    assert asked.headers["accept"] == "text/plain"


async def test_a_body_is_posted(sink: HttpSink, fetcher: Fetcher) -> None:
    await fetcher.request("POST", sink.url, body=b"x" * 200_000)
    await fetcher.request("POST", sink.url)
    assert [len(asked.body) for asked in sink.asked] == [200_000, 0]
    assert sink.asked[1].headers["content-length"] == "0"


async def test_no_proxy_is_taken_from_the_environment(
    sink: HttpSink, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await fetcher.request("GET", sink.url)).status == 200


@pytest.mark.parametrize(
    "host",
    ["localhost", "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "0", "127.0.0.1", "[::1]"],
)
async def test_no_name_for_this_machine_leads_to_it(sink: HttpSink, host: str) -> None:
    fetcher = Fetcher()
    with pytest.raises(FetchRefused):
        await fetcher.request("GET", f"http://{host}/")
    with pytest.raises(FetchRefused):
        await fetcher.request("GET", f"http://{host}:{sink.port}/")
    await fetcher.close()
    assert sink.connections == 0


async def test_a_name_that_changes_its_address_meanwhile_leads_nowhere_new(
    sink: HttpSink,
) -> None:
    # Allowed or not is decided for the answer that is then connected to: there is no second one.
    looked_up: list[str] = []

    async def rebinding(host: str, _port: int) -> Sequence[str]:
        looked_up.append(host)
        return ["192.0.2.1"] if len(looked_up) == 1 else ["127.0.0.1"]

    fetcher = Fetcher(allow=[f"public.example:{sink.port}"], resolve=rebinding, limits=QUICK)
    with pytest.raises(FetchRefused):
        await fetcher.request("GET", f"http://public.example:{sink.port}/")
    assert (looked_up, sink.connections) == (["public.example"], 0)
    public = Fetcher(resolve=names({"rebind.example": [["93.184.215.14"], ["127.0.0.1"]]}))
    admitted: list[Sequence[str]] = []

    async def note(_host: str, addresses: Sequence[str]) -> None:
        admitted.append(addresses)
        raise FetchRefused("enough")  # what would be connected to is known

    for _ in range(2):
        with pytest.raises(FetchRefused):
            await public.request("GET", "http://rebind.example/", admit=note)
    assert admitted == [["93.184.215.14"]]  # the second answer was not even admitted


async def test_what_is_connected_to_is_the_checked_address(sink: HttpSink) -> None:
    # The host has no address anywhere but in this name service, which is asked once.
    asked: list[str] = []

    async def once(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    fetcher = Fetcher(allow=[f"reader.test:{sink.port}"], resolve=once)
    fetched = await fetcher.request("GET", f"http://reader.test:{sink.port}/")
    assert fetched.status == 200
    assert asked == ["reader.test"]
    assert sink.asked[0].headers["host"] == f"reader.test:{sink.port}"


async def test_the_next_address_is_tried_when_one_is_dead(sink: HttpSink) -> None:
    resolve = names({"reader.test": [["::1", "127.0.0.1"]]})
    fetcher = Fetcher(allow=[f"reader.test:{sink.port}"], resolve=resolve)
    assert (await fetcher.request("GET", f"http://reader.test:{sink.port}/")).status == 200


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:1/",
        "http://localhost/",
        "file:///etc/passwd",
        "http://0x7f.1/",
        "//[::1]/",
        "http://user:pw@example.com/",
        "http://example.com:6379/",
    ],
)
async def test_a_redirect_into_our_own_network_is_refused(
    sink: HttpSink, fetcher: Fetcher, location: str
) -> None:
    sink.answers = lambda _asked: Answer(302, headers={"Location": location})
    with pytest.raises(FetchRefused):
        await fetcher.request("GET", sink.url, follow_redirects=True)
    assert len(sink.asked) == 1


async def test_redirects_are_followed_five_times(sink: HttpSink, fetcher: Fetcher) -> None:
    def hop(asked: Asked) -> Answer:
        left = int(asked.path[1:])
        return Answer(301, headers={"Location": f"/{left - 1}"}) if left else Answer(200, b"end")

    sink.answers = hop
    fetched = await fetcher.request("GET", f"{sink.url}/5", follow_redirects=True)
    assert (fetched.body, fetched.url) == (b"end", f"{sink.url}/0")
    with pytest.raises(FetchFailed, match="redirects"):
        await fetcher.request("GET", f"{sink.url}/6", follow_redirects=True)
    assert (await fetcher.request("GET", f"{sink.url}/5")).status == 301


@pytest.mark.parametrize(
    ("status", "asked"), [(307, 2), (308, 2), (301, 1), (302, 1), (303, 1)], ids=str
)
async def test_a_post_is_sent_again_only_where_the_redirect_says_so(
    sink: HttpSink, fetcher: Fetcher, status: int, asked: int
) -> None:
    sink.answers = lambda one: (
        Answer(status, headers={"Location": "/new"}) if one.path == "/" else Answer(204)
    )
    fetched = await fetcher.request("POST", sink.url, body=b"news", follow_redirects=True)
    assert [(one.method, one.body) for one in sink.asked] == [("POST", b"news")] * asked
    assert fetched.status == (204 if asked == 2 else status)


def _bomb() -> bytes:
    return gzip.compress(bytes(50_000_000))


async def test_a_bomb_is_cut_while_it_is_inflated(sink: HttpSink, fetcher: Fetcher) -> None:
    bomb = _bomb()
    assert len(bomb) < 60_000
    sink.answers = lambda asked: (
        Answer(200, bomb, {"Content-Encoding": "gzip"})
        if asked.path == "/bomb"
        else Answer(302, bomb, {"Content-Encoding": "gzip", "Location": "/bomb"})
    )
    tracemalloc.start()
    with pytest.raises(FetchFailed, match="more than"):
        await fetcher.request("GET", sink.url, follow_redirects=True)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10_000_000


@pytest.mark.parametrize(
    ("coding", "body", "why"),
    [
        ("gzip", b"no gzip at all", "broken"),
        ("gzip", gzip.compress(b"x" * 5000)[:-9], "too early"),
        ("gzip", gzip.compress(b"") * 100, "too many"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"x")), "not asked for"),
        ("br", b"x", "not asked for"),
        ("deflate", b"x", "not asked for"),
        ("", b"x" * 1_048_577, "more than"),
        ("gzip", gzip.compress(b"x" * 700_000) * 2, "more than"),
    ],
    ids=["none", "cut", "members", "nested", "br", "deflate", "large", "two halves"],
)
async def test_a_body_that_cannot_be_used_is_a_failure(
    sink: HttpSink, fetcher: Fetcher, coding: str, body: bytes, why: str
) -> None:
    sink.answers = lambda _asked: Answer(200, body, {"Content-Encoding": coding} if coding else {})
    with pytest.raises(FetchFailed, match=why):
        await fetcher.request("GET", sink.url)


async def test_gzip_in_several_parts_is_one_body(sink: HttpSink, fetcher: Fetcher) -> None:
    body = gzip.compress(b"one ") + gzip.compress(b"two")
    sink.answers = lambda _asked: Answer(200, body, {"Content-Encoding": "GZIP"})
    assert (await fetcher.request("GET", sink.url)).body == b"one two"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(raw=b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 60_000, endless=True),
        Answer(raw=b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 90_000, endless=True),
        Answer(raw=b"HTTP/1.1 100 Continue\r\n\r\n", endless=True),
        Answer(raw=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n"),
        Answer(raw=b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40_000 + b"\r\nContent-Length: 0\r\n\r\n"),
        Answer(raw=b""),
        Answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n"),
        Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort"),
        Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        Answer(after=asyncio.Event()),
    ],
    ids=[
        "endless body",
        "endless header",
        "endless 100",
        "many headers",
        "large header",
        "nothing",
        "another protocol",
        "short body",
        "bad chunk",
        "silence",
    ],
)
async def test_a_server_that_misbehaves_is_a_failure_in_time(
    sink: HttpSink, answer: Answer
) -> None:
    fetcher = Fetcher(allow=[sink.host], limits=QUICK)
    sink.answers = lambda _asked: answer
    with pytest.raises(FetchFailed):
        await fetcher.request("GET", sink.url)


async def test_the_whole_request_has_its_time_whatever_a_step_may_take(sink: HttpSink) -> None:
    fetcher = Fetcher(allow=[sink.host], limits=FetchLimits(total_seconds=0.2))
    sink.answers = lambda _asked: Answer(after=asyncio.Event())
    with pytest.raises(FetchFailed, match=r"longer than 0\.2 s"):
        await fetcher.request("GET", sink.url)


async def test_the_body_of_an_answer_need_not_be_taken(sink: HttpSink, fetcher: Fetcher) -> None:
    sink.answers = lambda _asked: Answer(
        raw=b"HTTP/1.1 202 OK\r\n\r\n" + b"x" * 60_000, endless=True
    )
    fetched = await fetcher.request("POST", sink.url, body=b"x", wants_body=False)
    assert (fetched.status, fetched.body) == (202, b"")


async def test_a_host_that_is_not_there_is_a_failure(fetcher: Fetcher) -> None:
    lost = Fetcher(resolve=names({"empty.example": [[]]}))
    for host in ("lost.example", "empty.example"):
        with pytest.raises(FetchFailed):
            await lost.request("GET", f"http://{host}/")
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(FetchFailed, match="does not answer"):
            await Fetcher(allow=[host]).request("GET", f"http://{host}/")


async def test_a_name_service_that_does_not_answer_is_a_failure() -> None:
    async def silent(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(FetchFailed, match="not found in time"):
        await Fetcher(resolve=silent, limits=FetchLimits(step_seconds=0.05)).request(
            "GET", "http://slow.example/"
        )


async def test_one_request_may_be_allowed_more_than_the_others(sink: HttpSink) -> None:
    fetcher = Fetcher()
    assert (await fetcher.request("GET", sink.url, also_allow=[sink.host])).status == 200
    with pytest.raises(FetchRefused):
        await fetcher.request("GET", sink.url)


def make_certificate(folder: Path, name: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_tls_asks_for_the_name_while_the_address_was_checked(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "reader.test")
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    ours = ssl.create_default_context(cafile=str(certificate))
    sink = await HttpSink().start(server_side)
    resolve = names({"reader.test": [["127.0.0.1"]], "other.test": [["127.0.0.1"]]})
    hosts = [f"reader.test:{sink.port}", f"other.test:{sink.port}"]
    fetcher = Fetcher(allow=hosts, resolve=resolve, tls=ours)
    assert (await fetcher.request("GET", f"https://{hosts[0]}/")).status == 200
    with pytest.raises(FetchFailed, match="certificate"):
        await fetcher.request("GET", f"https://{hosts[1]}/")
    with pytest.raises(FetchFailed):  # nor does the system trust it
        await Fetcher(allow=hosts, resolve=resolve).request("GET", f"https://{hosts[0]}/")
    await sink.stop()
