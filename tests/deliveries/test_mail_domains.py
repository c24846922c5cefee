"""Whose mail servers a domain has, asked of a name server on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from feedsvc.db.engine import Database
from feedsvc.deliveries.mail_domains import MailDomains, prune

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)


class NameServer(asyncio.DatagramProtocol):
    """Answers questions for MX records as it is told to, over UDP."""

    def __init__(self) -> None:
        self.port = 0
        #: Domain -> lines of MX records.
        self.records: dict[str, list[str]] = {}
        #: Domain -> makes the whole datagram out of the proper answer.
        self.odd: dict[str, Callable[[bytes], bytes]] = {}
        self.asked: list[str] = []
        self.at_once = 0
        self.most_at_once = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name
        domain = name.to_text(omit_final_dot=True)
        self.asked.append(domain)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if domain in self.records:
            if lines := self.records[domain]:
                answer.answer.append(dns.rrset.from_text(name, 300, "IN", "MX", *lines))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        wire = self.odd.get(domain, bytes)(answer.to_wire(max_size=65535))
        asyncio.get_running_loop().call_later(0.001, self._answer, wire, address)

    def _answer(self, wire: bytes, address: tuple[str, int]) -> None:
        self.at_once -= 1
        if wire:
            self.transport.sendto(wire, address)


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    yield server
    transport.close()


def domains(server: NameServer) -> MailDomains:
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = server.port
    resolver.lifetime = 0.5
    return MailDomains(resolver=resolver)


async def test_well_known_domains_are_not_asked_about(
    database: Database, server: NameServer
) -> None:
    known = domains(server)
    assert (known.of("foxmail.com"), known.of("gmail.com")) == ("qq", "gmail")
    await known.look_up(database, NOW)
    assert server.asked == []


async def test_a_firms_domain_stands_for_itself_until_its_servers_are_known(
    database: Database, server: NameServer
) -> None:
    server.records = {
        "gongsi.cn": ["20 mxbiz2.qq.com.", "10 mxbiz1.qq.com."],
        "xn--fsqu00a.xn--55qw42g": ["5 mxn.mxhichina.com."],
        "own.org": ["10 mail.own.org."],
        "none.org": ["0 ."],
        "silent.org": [],
    }
    known = domains(server)
    names = [*server.records, "gone.org"]
    assert [known.of(name) for name in names] == names
    await known.look_up(database, NOW)
    assert [known.of(name) for name in names] == ["qq", "aliyun", *names[2:]]
    assert sorted(server.asked) == sorted(names)


async def test_the_most_preferred_server_that_is_known_tells_the_provider(
    database: Database, server: NameServer
) -> None:
    server.records = {
        "moved.cn": ["20 mxn.mxhichina.com.", "5 mx1.moved.cn.", "10 mxbiz1.qq.com."],
    }
    known = domains(server)
    known.of("moved.cn")
    await known.look_up(database, NOW)
    assert known.of("moved.cn") == "qq"


async def test_answers_outlive_a_restart_and_are_believed_for_a_week(
    database: Database, server: NameServer
) -> None:
    server.records = {"gongsi.cn": ["10 mxbiz1.qq.com."]}
    known = domains(server)
    known.of("gongsi.cn")
    await known.look_up(database, NOW)
    known = domains(server)
    async with database.read() as session:
        await known.load(session)
    assert known.of("gongsi.cn") == "qq"
    await known.look_up(database, NOW + timedelta(days=6))
    assert len(server.asked) == 1
    server.records = {"gongsi.cn": ["10 mxn.mxhichina.com."]}
    assert known.of("gongsi.cn") == "qq"
    await known.look_up(database, NOW + timedelta(days=8))
    assert known.of("gongsi.cn") == "aliyun"
    async with database.write() as session:
        await prune(session, NOW + timedelta(days=97))
        await known.load(session)
        assert known.of("gongsi.cn") == "aliyun"
        await prune(session, NOW + timedelta(days=99))
        await known.load(session)
        assert known.of("gongsi.cn") == "gongsi.cn"


async def test_a_failure_is_tried_again_after_an_hour(
    database: Database, server: NameServer
) -> None:
    def refuse(wire: bytes) -> bytes:
        answer = dns.message.from_wire(wire)
        answer.set_rcode(dns.rcode.REFUSED)
        return answer.to_wire()

    server.odd = {"gongsi.cn": refuse}
    server.records = {"gongsi.cn": ["10 mxbiz1.qq.com."]}
    known = domains(server)
    for minutes in (0, 30, 59):
        assert known.of("gongsi.cn") == "gongsi.cn"
        await known.look_up(database, NOW + timedelta(minutes=minutes))
    assert len(server.asked) == 1
    server.odd = {}
    known.of("gongsi.cn")
    await known.look_up(database, NOW + timedelta(minutes=61))
    assert known.of("gongsi.cn") == "qq"


@pytest.mark.parametrize(
    "make",
    [
        lambda wire: wire[:20],
        lambda wire: wire[:2] + bytes(400),
        lambda wire: wire[:-5] + b"\xc0\x0c\xc0\x0c\xff",
        lambda wire: wire[:3] + b"\x82" + wire[4:],
    ],
    ids=["cut short", "noise", "loops", "server failure"],
)
async def test_a_broken_answer_stops_none_of_the_others(
    database: Database, server: NameServer, make: Callable[[bytes], bytes]
) -> None:
    server.records = {name: ["10 mxbiz1.qq.com."] for name in ("broken.cn", "gongsi.cn")}
    server.odd = {"broken.cn": make}
    known = domains(server)
    known.of("broken.cn")
    known.of("gongsi.cn")
    await known.look_up(database, NOW)
    assert (known.of("broken.cn"), known.of("gongsi.cn")) == ("broken.cn", "qq")


async def test_weird_and_many_servers_are_only_looked_up_among_those_we_know(
    database: Database, server: NameServer
) -> None:
    server.records = {
        "weird.cn": [r"1 \000\255\010<script>\.qq\.com.evil.org.", "2 ."],
        "many.cn": [f"{number} {'x' * 60}.{number}.evil.org." for number in range(400)],
    }
    known = domains(server)
    assert (known.of("weird.cn"), known.of("many.cn")) == ("weird.cn", "many.cn")
    await known.look_up(database, NOW)
    assert (known.of("weird.cn"), known.of("many.cn")) == ("weird.cn", "many.cn")
    # What is kept are names of ours alone.
    again = domains(server)
    async with database.read() as session:
        await again.load(session)
    assert (again.of("weird.cn"), again.of("many.cn")) == ("weird.cn", "many.cn")


async def test_names_that_dns_does_not_have_or_cannot_write_are_not_asked_about(
    database: Database, server: NameServer
) -> None:
    known = domains(server)
    for name in (
        "a.test",
        "b.example",
        "localhost",
        "例子.cn",
        "a..cn",
        "x" * 64 + ".cn",
        "",
        "a b.cn",
    ):
        assert known.of(name) == name
    await known.look_up(database, NOW)
    assert server.asked == []


async def test_a_few_are_asked_about_at_once_and_the_others_the_next_time(
    database: Database, server: NameServer
) -> None:
    known = domains(server)
    names = [f"firm{number}.cn" for number in range(250)]
    for name in names:
        known.of(name)
    await known.look_up(database, NOW)
    assert len(server.asked) == 200
    assert server.most_at_once <= 8
    await known.look_up(database, NOW)
    assert sorted(server.asked) == sorted(names)


async def test_who_does_not_want_dns_asked_has_the_well_known_alone(
    database: Database, server: NameServer
) -> None:
    known = MailDomains(is_asking=False)
    assert (known.of("qq.com"), known.of("gongsi.cn")) == ("qq", "gongsi.cn")
    await known.look_up(database, NOW)
    async with database.read() as session:
        await known.load(session)
    assert known.of("gongsi.cn") == "gongsi.cn"


async def test_a_database_that_is_gone_stops_nothing(server: NameServer) -> None:
    server.records = {"gongsi.cn": ["10 mxbiz1.qq.com."]}
    gone = Database("postgresql://nobody@127.0.0.1:1/gone")
    known = domains(server)
    known.of("gongsi.cn")
    await known.look_up(gone, NOW)
    assert known.of("gongsi.cn") == "qq"
    await gone.dispose()
