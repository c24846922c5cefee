"""Which addresses elsewhere may be asked. Pure: looks nothing up and opens nothing.

SECURITY: readers, hubs and callbacks name addresses that this machine then connects to. None of
them may lead into the operator's own network (server-side request forgery), however it is
written, and whatever a name server says the second time it is asked.
"""

import ipaddress
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote, urlsplit

import idna

from feedsvc.errors import FetchRefused

#: What everybody may be asked on; others only on hosts the operator named with them.
_PORTS = {"http": 80, "https": 443}
_MAX_URL = 8000
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
# Not in any address as it goes on the wire; programs differ in what they make of them.
_FORBIDDEN = re.compile(r'[\x00-\x20\x7f"<>\\]')
# The WHATWG URL standard reads a host whose last label is such a number as an IPv4 address.
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")


class Reach(StrEnum):
    """How far an IP address reaches."""

    #: Anybody's, anywhere.
    PUBLIC = "public"
    #: The operator's own machines; asked only where the operator named the host.
    PRIVATE = "private"
    #: Nobody's, everybody's at once, or a cloud's own service; never asked.
    NEVER = "never"


def _networks(*texts: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


# Within the private ones: where clouds hand out credentials to whoever asks.
_METADATA = _networks("100.100.100.200/32", "fd00:ec2::/32", "fd20:ce::/32")
_PRIVATE = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",  # carrier-grade NAT (RFC 6598)
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "198.18.0.0/15",  # benchmarks (RFC 2544); proxies on desktops answer names with these
    "::1/128",
    "fc00::/7",  # unique local (RFC 4193)
)
_NEVER = _networks(
    "0.0.0.0/8",
    "168.63.129.16/32",  # Azure's own services
    "169.254.0.0/16",  # link-local, and with it most clouds' metadata
    "192.0.0.0/24",  # IETF protocols; 192.0.0.192 is a metadata address, too
    "192.0.2.0/24",
    "192.88.99.0/24",  # 6to4 relays (RFC 7526)
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "2001::/23",  # IETF protocols, with Teredo, which carries an IPv4 address
    "2001:db8::/32",
    "2002::/16",  # 6to4 carries an IPv4 address (RFC 3056), and is no more in use
    "3fff::/20",
)
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def reach_of(address: str) -> Reach:
    """How far an address reaches, as it stands in answers of name servers.

    Everything that is not known to be public is not: what `ipaddress` calls global includes
    multicast, 6to4, NAT64 (RFC 6052) of any address, and metadata services.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            return Reach.NEVER
        if ip.ipv4_mapped is not None:
            return reach_of(str(ip.ipv4_mapped))
        if ip in _NAT64:
            inner = reach_of(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
            return Reach.PUBLIC if inner is Reach.PUBLIC else Reach.NEVER
    if _is_in(ip, _METADATA) or _is_in(ip, _NEVER):
        return Reach.NEVER
    if _is_in(ip, _PRIVATE):
        return Reach.PRIVATE
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _GLOBAL_UNICAST:
        return Reach.NEVER
    return Reach.PUBLIC


def _is_in(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
    networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network],
) -> bool:
    return any(ip.version == network.version and ip in network for network in networks)


@dataclass(frozen=True, slots=True)
class Target:
    """An address, taken apart once; what is connected to and what is asked for come from here."""

    scheme: str
    #: A name as A-labels in lower case without its trailing dot, or an IP address without brackets.
    host: str
    port: int
    #: Path and query, as they go on the wire.
    resource: str

    @property
    def is_literal(self) -> bool:
        """Whether the host is an IP address."""
        return ":" in self.host or bool(_NUMBER.match(self.host.rpartition(".")[2]))

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole, written the one way it is understood here."""
        return f"{self.scheme}://{self.authority}{self.resource}"


def read_url(url: str) -> Target:
    """Take an address apart. A fragment is left out; it is nobody else's business.

    Raises:
        FetchRefused: not http(s), with a user or password, or written so that programs differ in
            where it leads.
    """
    if len(url) > _MAX_URL or _FORBIDDEN.search(url):
        raise FetchRefused("an address has no blanks, control characters, quotes or backslashes")
    try:
        parts = urlsplit(url)
        port = parts.port
        resource = quote(parts.path or "/", safe="!#$%&'()*+,/:;=?@[]~")
    except (ValueError, UnicodeError) as error:
        raise FetchRefused("not an address that can be read") from error
    if parts.scheme not in _PORTS:
        raise FetchRefused("an address starts with https:// or http://")
    if "@" in parts.netloc:
        raise FetchRefused("an address has no user name or password in it")
    if port == 0:
        raise FetchRefused("there is no port 0")
    host = read_host(parts.netloc, parts.hostname or "")
    if parts.query or "?" in url.partition("#")[0]:
        resource += "?" + quote(parts.query, safe="!#$%&'()*+,/:;=?@[]~")
    return Target(parts.scheme, host, port or _PORTS[parts.scheme], resource)


def read_host(authority: str, host: str) -> str:
    """The one form of a host that is compared, looked up, and connected to. Raises FetchRefused."""
    if authority.startswith("["):
        try:
            return str(ipaddress.IPv6Address(host)) if "%" not in host else _refuse_host()
        except ValueError:
            _refuse_host()
    try:
        ascii_host = host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        _refuse_host()
    labels = ascii_host.lower().removesuffix(".").split(".")
    if len(ascii_host) > 253 or not all(_LABEL.match(label) for label in labels):
        _refuse_host()
    name = ".".join(labels)
    if _NUMBER.match(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            # 2130706433, 0x7f.1 and 0177.0.0.1 are 127.0.0.1 to getaddrinfo.
            _refuse_host()
    return name


def _refuse_host() -> str:
    raise FetchRefused("its host is neither a name nor an IP address")


class Guard:
    """Says which addresses may be asked: the public ones, and those the operator named.

    Args:
        allowed: hosts that may be private, as `host` (on the usual ports) or `host:port`.

    Raises:
        FetchRefused: one of them is no host.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed: set[tuple[str, int | None]] = set()
        for entry in allowed:
            # An IPv6 address may stand without brackets where there is no port.
            text = f"[{entry}]" if entry.count(":") > 1 and not entry.startswith("[") else entry
            target = read_url(f"http://{text}")
            has_port = text.rpartition("]")[2].count(":") == 1
            self._allowed.add((target.host, target.port if has_port else None))

    def allows(self, target: Target) -> bool:
        """Whether the operator named this host, and on this port."""
        by_host = target.port in _PORTS.values() and (target.host, None) in self._allowed
        return by_host or (target.host, target.port) in self._allowed

    def read(self, url: str) -> Target:
        """Take an address apart, and refuse what can be refused before its name is looked up.

        Raises:
            FetchRefused: see `read_url`; or another port; or an IP address of no public host.
        """
        target = read_url(url)
        if target.port not in _PORTS.values() and not self.allows(target):
            raise FetchRefused(f"port {target.port} may not be asked, only 80 and 443")
        if target.is_literal:
            self.check(target, [target.host])
        return target

    def check(self, target: Target, addresses: Sequence[str]) -> None:
        """Refuse a host of which any address may not be asked. Raises FetchRefused.

        SECURITY: one bad address among good ones is refused, too; which of them is connected to
        is not for a name server to choose.
        """
        accepted: Collection[Reach] = (
            (Reach.PUBLIC, Reach.PRIVATE) if self.allows(target) else (Reach.PUBLIC,)
        )
        for address in addresses:
            if reach_of(address) not in accepted:
                raise FetchRefused(f"{target.host} leads to {address}, which is no public address")
