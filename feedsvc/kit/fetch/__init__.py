"""The only outgoing HTTP: asks other hosts, within bounds of time and size, and none of our own.

Every name is looked up once; all its addresses are checked (see guard.py), and one of those
checked is connected to, while TLS and the Host header keep the name. Every redirect is a new
address to be checked. No proxy is taken from the environment, and no cookie is kept.
"""

import asyncio
import socket
import ssl
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from urllib.parse import urljoin

import httpcore2

from feedsvc.errors import FetchFailed, FetchRefused
from feedsvc.kit.fetch.guard import Guard, Target
from feedsvc.kit.fetch.wire import CheckedNetwork, Fetched, FetchLimits, OutgoingRequest

__all__ = ["Admit", "FetchLimits", "Fetched", "Fetcher", "Resolve"]

#: Host and port -> all its addresses. May raise OSError.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
#: Asked before each connection, with a host and its checked addresses; may raise FetchRefused.
Admit = Callable[[str, Sequence[str]], Awaitable[None]]

#: RFC 9110 §15.4: which redirects keep the method, and so may be followed with a body.
_KEEPING = frozenset({307, 308})
_REDIRECTS = {"GET": _KEEPING | {301, 302, 303}, "HEAD": _KEEPING | {301, 302, 303}}
# Name servers may take half a minute to say nothing; nobody else's work waits in these threads.
_RESOLVER_THREADS = 8
_FAILURES = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.UnsupportedProtocol,
    ssl.SSLError,
    OSError,
)


class Fetcher:
    """Asks other hosts.

    Args:
        allow: hosts that may be private, as `host` (on ports 80 and 443) or `host:port`.
        limits: unless a request has its own.
        agent: the User-Agent header.
        resolve: in place of the system's name service.
        tls: in place of the system's certificates.

    Raises:
        FetchRefused: `allow` names something that is no host.
    """

    def __init__(
        self,
        *,
        allow: Iterable[str] = (),
        limits: FetchLimits | None = None,
        agent: str = "feedsvc",
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allow = tuple(allow)
        self._guard = Guard(self._allow)
        self._limits = limits or FetchLimits()
        self._agent = agent
        self._threads = ThreadPoolExecutor(_RESOLVER_THREADS, thread_name_prefix="resolve")
        self._resolve = resolve or self._ask_system
        self._tls = tls

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        follow_redirects: bool = False,
        wants_body: bool = True,
        limits: FetchLimits | None = None,
        also_allow: Collection[str] = (),
        admit: Admit | None = None,
    ) -> Fetched:
        """Send one request, and follow its redirects if told to; any status is an answer.

        Args:
            method: GET, HEAD or POST.
            url: absolute.
            headers: beside Host, User-Agent, Accept-Encoding and Content-Length.
            body: what is sent.
            follow_redirects: GET and HEAD follow all of them; POST only 307 and 308, and is then
                sent again with its body. What is not followed is the answer.
            wants_body: otherwise the connection is closed after the headers.
            limits: of this request.
            also_allow: hosts that may be private for this request, beside the Fetcher's own.
            admit: asked before each connection; what it raises ends the request.

        Raises:
            FetchRefused: the address, or one it redirects to, may not be asked. Permanent.
            FetchFailed: no answer, not in time, too large, or broken. Temporary.
        """
        limits = limits or self._limits
        guard = Guard([*self._allow, *also_allow]) if also_allow else self._guard
        request = OutgoingRequest(method, dict(headers or {}), body, wants_body, limits)
        try:
            async with asyncio.timeout(limits.total_seconds):
                target = guard.read(url)
                for _ in range(limits.redirects + 1):
                    answer = await self._ask(request, target, guard, admit)
                    location = answer.headers.get("location")
                    followed = _REDIRECTS.get(method, _KEEPING) if follow_redirects else ()
                    if answer.status not in followed or not location:
                        return answer
                    target = guard.read(_join(target.url, location))
        except TimeoutError as error:
            raise FetchFailed(f"took longer than {limits.total_seconds:g} s") from error
        raise FetchFailed(f"redirects more than {limits.redirects} times")

    async def close(self) -> None:
        """Look no more names up. Requests under way fail or end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(
        self, request: OutgoingRequest, target: Target, guard: Guard, admit: Admit | None
    ) -> Fetched:
        addresses = await self._look_up(target, request.limits)
        guard.check(target, addresses)
        if admit is not None:
            await admit(target.host, addresses)
        async with _failures_named(target.host), self._connection(target, addresses) as connection:
            response = await connection.handle_async_request(request.to(target, self._agent))
            return await request.read(response, target)

    async def _look_up(self, target: Target, limits: FetchLimits) -> Sequence[str]:
        """All addresses of a host; those that are connected to are these and no others."""
        if target.is_literal:
            return [target.host]
        try:
            async with asyncio.timeout(limits.step_seconds):
                addresses = await self._resolve(target.host, target.port)
        except TimeoutError as error:
            raise FetchFailed(f"{target.host} was not found in time") from error
        except (OSError, UnicodeError) as error:
            raise FetchFailed(f"{target.host} was not found: {error}") from error
        if not addresses:
            raise FetchFailed(f"{target.host} has no address")
        return addresses

    async def _ask_system(self, host: str, port: int) -> Sequence[str]:
        def look_up() -> list[str]:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))

        return await asyncio.get_running_loop().run_in_executor(self._threads, look_up)

    @asynccontextmanager
    async def _connection(
        self, target: Target, addresses: Sequence[str]
    ) -> AsyncIterator[httpcore2.AsyncHTTPConnection]:
        """A connection for one request: one that is kept may be closed under the next."""
        if target.scheme == "https" and self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        connection = httpcore2.AsyncHTTPConnection(
            httpcore2.Origin(target.scheme.encode(), target.host.encode(), target.port),
            ssl_context=self._tls,
            network_backend=CheckedNetwork(addresses),
        )
        try:
            yield connection
        finally:
            await connection.aclose()


@asynccontextmanager
async def _failures_named(host: str) -> AsyncIterator[None]:
    """Foreign exceptions become ours here."""
    try:
        yield
    except httpcore2.TimeoutException as error:
        raise FetchFailed(f"{host} does not answer in time") from error
    except _FAILURES as error:
        if isinstance(error, TimeoutError):
            raise  # the whole request's time is up
        raise FetchFailed(f"{host} does not answer: {error or type(error).__name__}") from error


def _join(base: str, location: str) -> str:
    try:
        return urljoin(base, location.encode("latin-1").decode("utf-8"))
    except (ValueError, UnicodeError) as error:
        raise FetchRefused("redirects to what is no address") from error
