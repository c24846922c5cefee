"""Serves feed documents from memory: a raw ASGI endpoint in front of the framework.

A request looks up, compares and sends; everything it could need is made when documents are taken
over (answers.py). Only paths of documents are its own; pages about feeds are the framework's.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

import structlog

from feedsvc.errors import DatabaseUnavailable
from feedsvc.model.feed import ServedDocument
from feedsvc.web.clients import Client, Clients
from feedsvc.web.feeds import answers as answers
from feedsvc.web.feeds.addresses import (
    FeedAddress,
    encode_path,
    encode_url,
    find_new_key,
    is_document_path,
    is_retired,
    read_address,
)
from feedsvc.web.feeds.answers import EMPTY, Answer, Clock, Headers, Message, Prepared
from feedsvc.web.feeds.archives import ArchiveShelf, FindArchive
from feedsvc.web.feeds.limits import ARCHIVE_COST, FULL_COST, KNOWN_COST, FeedLimits
from feedsvc.web.feeds.policy import ServingPolicy
from feedsvc.web.feeds.tally import FeedTally

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
#: Address and port of the other end of a connection.
Peer = tuple[str, int] | None
#: Told of each document served: key of the feed, user agent, the client's network (see
#: clients.py), and whether the request had a condition. Must return at once.
Note = Callable[[str, bytes, bytes, bool], None]


class FeedEndpoint:
    """An ASGI application for the documents below `/feeds/`."""

    def __init__(
        self,
        documents: Iterable[ServedDocument] = (),
        policy: ServingPolicy | None = None,
        archives: FindArchive | None = None,
        note: Note | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Clock | None = None,
    ) -> None:
        """Serve documents.

        Args:
            documents: to begin with.
            policy: None: as in ServingPolicy without arguments.
            archives: asked for archive pages; None: there are none.
            note: see `Note`.
            clock: seconds that never go back.
            now: the present; None: dates of the future are believed.
        """
        self._policy = policy = policy or ServingPolicy()
        self._clients = Clients(policy.trusted_proxies)
        limit = policy.requests_per_minute
        self._limits = FeedLimits(limit) if limit else None
        self._archives = ArchiveShelf(archives, self._prepare, clock=clock) if archives else None
        self._note = note
        self._clock = clock
        self._now = now
        self._prepared: dict[str, Prepared] = {}
        self._by_target: dict[bytes, Prepared] = {}
        #: Keys of the feeds that have a document.
        self._feeds: frozenset[str] = frozenset()
        #: How requests were answered.
        self.tally = FeedTally()
        self.update(documents)

    def handles(self, path: str) -> bool:
        """Whether a path is this endpoint's to answer."""
        return path in self._prepared or is_document_path(path)

    def documents(self) -> list[ServedDocument]:
        """What is served; archive pages are not among it."""
        return [one.document for one in self._prepared.values()]

    def replace(self, documents: Iterable[ServedDocument]) -> None:
        """Serve exactly these from now on; requests under way keep what they began with.

        A document that is served in a newer version stays as it is.
        """
        wanted = list(documents)
        self.update(wanted)
        self.remove({one.path for one in self.documents()} - {one.path for one in wanted})

    def update(self, documents: Iterable[ServedDocument]) -> None:
        """Serve these in place of, or beside, what is served; of versions the newest stays."""
        changed: dict[str, Prepared] = {}
        for document in documents:
            path = f"/{document.path}"
            held = changed.get(path) or self._prepared.get(path)
            if held is None or _replaces(document, held.document):
                changed[path] = self._prepare(document)
                if held is None or held.document.etag != document.etag:
                    self.drop_archives(changed[path].feed)
        if changed:
            self._hold({**self._prepared, **changed})

    def remove(self, paths: Iterable[str]) -> None:
        """Serve these no longer; paths as in `ServedDocument.path`."""
        gone = self._prepared.keys() & {f"/{path}" for path in paths}
        for path in gone:
            self.drop_archives(self._prepared[path].feed)
        if gone:
            self._hold({path: one for path, one in self._prepared.items() if path not in gone})

    def _hold(self, prepared: dict[str, Prepared]) -> None:
        self._prepared = prepared
        self._by_target = {one.target: one for one in prepared.values()}
        self._feeds = frozenset(one.feed for one in prepared.values())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        prepared = self._prepared.get(scope["path"])
        method = scope["method"]
        if prepared is not None and method in ("GET", "HEAD"):
            headers = _read_headers(scope["headers"])
            answer = self._answer(prepared, headers, scope.get("client"), method)
        else:
            answer = await self._answer_other(scope)
        await send(answer.start)
        await send(answer.content if method != "HEAD" else EMPTY)

    def answer_poll(self, target: bytes, headers: Headers, peer: Peer) -> Answer | None:
        """The answer to GET of a document as its address is written in links; None: ask as usual.

        A request that may have a body is to be asked as usual, too.
        """
        prepared = self._by_target.get(target)
        if prepared is None:
            return None
        named = _read_headers(headers)
        if b"content-length" in named or b"transfer-encoding" in named:
            return None
        return self._answer(prepared, named, peer, "GET")

    def _answer(
        self, prepared: Prepared, headers: Mapping[bytes, bytes], peer: Peer, method: str
    ) -> Answer:
        """The document, or that the client has it already, or that it asks too often.

        Feed requests come through here: nothing is made that could have been made before.
        """
        if_none_match = headers.get(b"if-none-match")
        if_modified_since = headers.get(b"if-modified-since")
        known = prepared.is_known(if_none_match, if_modified_since, self._now)
        user_agent = headers.get(b"user-agent", b"")
        client = self._clients.find(peer, headers.get(b"x-forwarded-for"))
        if self._limits is not None and not client.is_this_machine:
            cost = KNOWN_COST if known else FULL_COST
            wait = self._limits.take(
                client.network, user_agent, prepared.document.path, cost, self._clock()
            )
            if wait:
                return self._count(answers.answer_too_often(wait))
        if self._note is not None:
            conditional = if_none_match is not None or if_modified_since is not None
            self._note(prepared.feed, user_agent, client.network, conditional)
        return self._serve(prepared, headers, known, method)

    def _serve(
        self, prepared: Prepared, headers: Mapping[bytes, bytes], known: bool, method: str
    ) -> Answer:
        variant = prepared.choose(headers.get(b"accept-encoding", b""))
        if known:
            self.tally.known[variant.coding] += 1
            return variant.known
        self.tally.full[variant.coding] += 1
        if method == "GET":
            self.tally.body_bytes += variant.body_bytes
        return variant.full

    async def _answer_other(self, scope: Scope) -> Answer:
        """What is to be said about a path or method that no document in memory answers."""
        if scope["method"] == "OPTIONS":
            return self._count(answers.PREFLIGHT)
        if scope["method"] not in ("GET", "HEAD"):
            return self._count(answers.NOT_ALLOWED)
        address = read_address(scope["path"])
        if address is None:
            return self._count(answers.NOT_FOUND)
        new_key = find_new_key(address.key, self._policy.moved)
        if new_key is not None:
            return self._count(self._moved_to(f"feeds/{new_key}/{address.rest}"))
        if is_retired(address.key, self._policy.retired):
            return self._count(answers.GONE)
        if address.is_archive and self._archives is not None:
            return await self._answer_archive(self._archives, address, scope)
        return self._count(answers.NOT_FOUND)

    async def _answer_archive(
        self, archives: ArchiveShelf, address: FeedAddress, scope: Scope
    ) -> Answer:
        headers = _read_headers(scope["headers"])
        client = self._clients.find(scope.get("client"), headers.get(b"x-forwarded-for"))
        # SECURITY: pages are looked up in the database; who makes names up is slowed down before.
        wait = self._wait_for_archives(client, address.key)
        if wait:
            return self._count(answers.answer_too_often(wait))
        path = f"feeds/{address.key}/{address.rest}"
        try:
            found = await archives.open(path)
        except DatabaseUnavailable as error:
            log.error("database unavailable", document=path, reason=str(error))
            return self._count(answers.UNAVAILABLE)
        except Exception as error:
            log.error(
                "archive page failed", document=path, fault=f"{type(error).__name__}: {error}"
            )
            return self._count(answers.FAULT)
        if found is None:
            return self._count(answers.NOT_FOUND)
        if isinstance(found, str):
            return self._count(self._moved_to(found))
        known = found.is_known(
            headers.get(b"if-none-match"), headers.get(b"if-modified-since"), self._now
        )
        return self._serve(found, headers, known, scope["method"])

    def _wait_for_archives(self, client: Client, feed: str) -> int:
        if self._limits is None or client.is_this_machine:
            return 0
        # SECURITY: neither another user agent nor a feed that is none gives another bucket.
        name = f"feeds/{feed}/archive" if feed in self._feeds else "archives of no feed"
        return self._limits.take(client.network, b"", name, ARCHIVE_COST, self._clock())

    def _moved_to(self, path: str) -> Answer:
        return answers.answer_moved(encode_path(self._policy.base_url, path))

    def _count(self, answer: Answer) -> Answer:
        self.tally.count_other(answer.status)
        return answer

    def _prepare(self, document: ServedDocument) -> Prepared:
        address = read_address(f"/{document.path}")
        feed = document.feed or (address.key if address else "")
        base_url = self._policy.base_url
        own = encode_url(document.url) if document.url else encode_path(base_url, document.path)
        # An archive page does not change: there is nothing a hub could tell about it.
        hubs = () if document.is_archive else self._policy.hubs_of(feed)
        links = [(b"link", b'<%s>; rel="hub"' % encode_url(hub)) for hub in hubs]
        return Prepared(document, feed, [*links, (b"link", b'<%s>; rel="self"' % own)])

    def drop_archives(self, feed: str) -> None:
        """Look up archive pages of a feed again: some of them may have been replaced."""
        if self._archives is not None:
            self._archives.drop(feed)


def _read_headers(lines: Headers) -> dict[bytes, bytes]:
    """The headers by name; lines of one name are one list (RFC 9110 §5.3)."""
    headers: dict[bytes, bytes] = dict(lines)
    if len(headers) != len(lines):
        headers = {}
        for name, value in lines:
            headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def _replaces(document: ServedDocument, held: ServedDocument) -> bool:
    """Whether a document is to be served in place of one that is.

    Not an older version, not the same one again, and of one version not the larger codings.
    """
    if document.etag != held.etag or document.last_modified != held.last_modified:
        # A date may go back when it was a clock's fault, and a version when a feed was made anew.
        is_later = document.last_modified >= held.last_modified
        return is_later or document.version > held.version
    if document.url != held.url or document.media_type != held.media_type:
        return True
    return _coded_sizes(document) < _coded_sizes(held)


def _coded_sizes(document: ServedDocument) -> tuple[int, int]:
    """How many codings are missing, and the bytes of those there are."""
    codings = (document.body_gzip, document.body_br, document.body_zstd)
    made = [len(one) for one in codings if one is not None]
    return len(codings) - len(made), sum(made)
