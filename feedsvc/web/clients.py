"""Who a request came from: the peer itself, or whom a web server in front says it came from.

SECURITY: X-Forwarded-For is anybody's to write. It is believed when the peer is one of the trusted
web servers, and read from the right, past the addresses that are trusted themselves: each server
appends whom it heard from, so the first address that is not ours was seen by one of ours. A list
that cannot be read says nothing, and the peer stands for itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

#: How many pairs of peer and header are remembered.
_REMEMBERED = 4096
#: Hops that are looked at; chains of our own servers are shorter.
_MOST_HOPS = 20
#: Bytes of a header that are looked at; an address has at most 45, and its port 6 more.
_MOST_BYTES = _MOST_HOPS * 60


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks. `address` is None where the transport has none that can be read."""

    address: Address | None
    #: What it is counted by, as text: the IPv4 address, or the network (/64) of an IPv6 one,
    #: which is what one household or one machine is given.
    network: bytes
    #: It is this machine, and not somebody that a web server on it speaks for.
    is_this_machine: bool
    #: The peer speaks for somebody, but is not believed, or cannot be understood: `address` is
    #: its own, and says nothing about who asks.
    is_hidden: bool = False


class Networks:
    """A set of addresses and networks."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Take addresses or networks such as `10.0.0.5` or `fd00::/8`. Raises ValueError."""
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(
            ip_network(one, strict=False) for one in networks
        )

    def __contains__(self, address: Address | None) -> bool:
        """Whether the address is in any of them."""
        return address is not None and any(address in network for network in self._networks)


class Clients:
    """Finds out who a request came from."""

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        """`trusted_proxies`: addresses or networks of the web servers in front."""
        self._trusted = Networks(trusted_proxies)
        self._find = lru_cache(_REMEMBERED)(self._find_anew)

    def find(self, peer: tuple[str, int] | None, forwarded: bytes | None) -> Client:
        """Who a request came from.

        Args:
            peer: as in an ASGI scope's `client`.
            forwarded: X-Forwarded-For, all its lines joined by commas; None where it was not sent.
        """
        host = peer[0] if peer else ""
        if forwarded is not None and len(forwarded) > _MOST_BYTES:
            forwarded = forwarded[-_MOST_BYTES:]
        return self._find(host, forwarded)

    def _find_anew(self, host: str, forwarded: bytes | None) -> Client:
        peer = read_address(host)
        if peer is None:
            return Client(None, b"", is_this_machine=False)
        if forwarded is None:
            return Client(peer, _network(peer), is_this_machine=peer.is_loopback)
        address = self._first_stranger(forwarded) if peer in self._trusted else None
        known = address or peer
        return Client(known, _network(known), is_this_machine=False, is_hidden=address is None)

    def _first_stranger(self, forwarded: bytes) -> Address | None:
        """The rightmost address that is not trusted, or the leftmost of all; None: unreadable."""
        address = None
        for hop in reversed(forwarded.decode("latin-1").split(",")[-_MOST_HOPS:]):
            address = read_address(hop.strip())
            if address is None or address not in self._trusted:
                return address
        return address


def read_address(text: str) -> Address | None:
    """An address, also with a port, in brackets or with a zone; None for anything else."""
    if text.startswith("["):
        text, _, port = text[1:].partition("]")
        if port and not (port[0] == ":" and port[1:].isdecimal()):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not port.isdecimal():
            return None
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # QUIRK: a socket that listens for both families names IPv4 peers ::ffff:192.0.2.1.
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _network(address: Address) -> bytes:
    if isinstance(address, IPv6Address):
        address = IPv6Address(address.packed[:8].ljust(16, b"\0"))
    return str(address).encode("ascii")
