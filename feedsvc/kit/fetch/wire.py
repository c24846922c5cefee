"""One request as it goes on the wire, one answer as it comes from there, and the way between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpcore2

from feedsvc.errors import FetchFailed
from feedsvc.kit.fetch.body import read_body
from feedsvc.kit.fetch.guard import Target

_MAX_ADDRESSES = 4


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What one request, with all its redirects, may cost."""

    total_seconds: float = 20.0
    #: For looking a name up, for connecting, and for each wait for the other side.
    step_seconds: float = 10.0
    #: After inflating.
    body_bytes: int = 1024 * 1024
    header_bytes: int = 32 * 1024
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer: header names in lower case, the body inflated, and the address it came from."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """What is sent, to whichever address."""

    method: str
    headers: dict[str, str]
    body: bytes
    wants_body: bool
    limits: FetchLimits

    def to(self, target: Target, agent: str) -> httpcore2.Request:
        """As it goes to one address; the connection is for it alone."""
        fixed = {
            "Host": target.authority,
            "User-Agent": agent,
            "Accept-Encoding": "gzip" if self.wants_body else "identity",
            "Connection": "close",
        }
        if self.body or self.method == "POST":
            fixed["Content-Length"] = str(len(self.body))
        step = self.limits.step_seconds
        return httpcore2.Request(
            self.method,
            httpcore2.URL(
                scheme=target.scheme.encode(),
                host=target.host.encode(),
                port=target.port,
                target=target.resource.encode("ascii"),
            ),
            headers=list({**fixed, **self.headers}.items()),
            content=self.body,
            extensions={"timeout": {"connect": step, "read": step, "write": step, "pool": step}},
        )

    async def read(self, response: httpcore2.Response, target: Target) -> Fetched:
        """Take in the answer, within the limits. Raises FetchFailed."""
        most = self.limits.header_bytes
        if sum(len(name) + len(value) for name, value in response.headers) > most:
            raise FetchFailed(f"the answer's headers have more than {most} bytes")
        headers: dict[str, str] = {}
        for name_bytes, value_bytes in response.headers:
            name, value = name_bytes.decode("latin-1").lower(), value_bytes.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        body = b""
        if self.wants_body and self.method != "HEAD":
            coding = headers.get("content-encoding", "")
            body = await read_body(response.aiter_stream(), coding, self.limits.body_bytes)
        return Fetched(response.status, headers, body, target.url)


class CheckedNetwork(httpcore2.AnyIOBackend):
    """Connects to addresses that have been checked, whatever host is asked for."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses[:_MAX_ADDRESSES]

    async def connect_tcp(
        self, host: str, port: int, *rest: Any, **more: Any
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address that answers."""
        failure: Exception | None = None
        for address in self._addresses:
            try:
                return await super().connect_tcp(address, port, *rest, **more)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore2.ConnectError("no address")
