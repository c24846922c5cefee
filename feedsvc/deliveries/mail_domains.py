"""Whose mail servers a domain has, so that providers are throttled and not each domain of theirs.

Asked of DNS beside the sending, never on its way: until an answer is there, a domain stands for
itself.
"""

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver
import structlog
from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.db.engine import Database
from feedsvc.errors import DatabaseUnavailable
from feedsvc.kit.providers import provider_of, provider_of_servers
from feedsvc.model.throttle import MailDomain

log = structlog.get_logger()

#: An answer is believed for so long, and a failure to get one.
FRESH = timedelta(days=7)
FAILED = timedelta(hours=1)
#: After that it says nothing about a domain any more.
KEPT = timedelta(days=90)

#: So much is kept in memory, asked in one go, and asked at once.
_MOST_KNOWN = 200_000
_MOST_WAITING = 20_000
_AT_ONCE_ALL = 200
_AT_ONCE = 8
_TIMEOUT_SECONDS = 3.0
_PIECE = 500
#: SECURITY: what a name server says is used only to be looked up among names we know.
_MOST_SERVERS = 20
_DOMAIN = re.compile(
    r"(?=.{4,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}\Z"
)
#: Names that DNS knows nothing of (RFC 6761, RFC 6762, RFC 7686, RFC 8375, RFC 9476).
_NOT_IN_DNS = (
    ".test",
    ".invalid",
    ".example",
    ".localhost",
    ".local",
    ".onion",
    ".alt",
    ".internal",
)


class MailDomains:
    """What is known about domains.

    Args:
        is_asking: whether DNS may be asked; else only the well-known domains have a provider.
        resolver: in place of one for the system's name servers.
    """

    def __init__(
        self, *, is_asking: bool = True, resolver: dns.asyncresolver.Resolver | None = None
    ) -> None:
        self._is_asking = is_asking
        self._resolver = resolver
        #: Domain -> provider, and when that was found out.
        self._known: dict[str, tuple[str, datetime]] = {}
        #: Domain -> when there was no answer.
        self._failed: dict[str, datetime] = {}
        self._wanted: set[str] = set()

    def of(self, domain: str) -> str:
        """The provider of a domain (A-labels, lower case); the domain where it is not known."""
        provider = provider_of(domain)
        if provider is not None:
            return provider
        if self._is_asking and len(self._wanted) < _MOST_WAITING:
            self._wanted.add(domain)
        known = self._known.get(domain)
        return known[0] if known is not None else domain

    async def load(self, session: AsyncSession) -> None:
        """Read what was found out before, the newest first; old answers are better than none."""
        if not self._is_asking:
            return
        rows = await session.execute(
            select(col(MailDomain.domain), col(MailDomain.provider), col(MailDomain.looked_up_at))
            .order_by(col(MailDomain.looked_up_at).desc())
            .limit(_MOST_KNOWN)
        )
        self._known = {domain: (provider, at) for domain, provider, at in reversed(rows.all())}

    async def look_up(self, database: Database, now: datetime) -> None:
        """Find out about the domains that were asked for and are not known; a few at a time.

        Never raises for what DNS or the database do: what could not be found out or written down
        is found out again.
        """
        wanted = self._choose(now)
        if not wanted:
            return
        resolver = self._open_resolver()
        if resolver is None:
            return
        gate = asyncio.Semaphore(_AT_ONCE)

        async def find(domain: str) -> tuple[str, str | None]:
            async with gate:
                return domain, await _find_provider(resolver, domain)

        found: dict[str, str] = {}
        for domain, provider in await asyncio.gather(*(find(domain) for domain in wanted)):
            if provider is None:
                self._failed[domain] = now
            else:
                found[domain] = provider
                self._failed.pop(domain, None)
        self._remember(found, now)
        try:
            async with database.write() as session:
                await _save(session, found, now)
        except DatabaseUnavailable as error:
            log.warning("providers are not written down", reason=str(error))

    def _choose(self, now: datetime) -> list[str]:
        """The domains to ask about now; the others are kept for the next time."""
        self._failed = {
            domain: at for domain, at in self._failed.items() if now - FAILED < at <= now
        }
        due = [domain for domain in self._wanted if self._is_due(domain, now)]
        chosen = sorted(due)[:_AT_ONCE_ALL]
        self._wanted = set(due).difference(chosen)
        return chosen

    def _is_due(self, domain: str, now: datetime) -> bool:
        if domain in self._failed or domain.endswith(_NOT_IN_DNS) or not _DOMAIN.match(domain):
            return False
        known = self._known.get(domain)
        return known is None or not now - FRESH < known[1] <= now

    def _open_resolver(self) -> dns.asyncresolver.Resolver | None:
        if self._resolver is None:
            try:
                self._resolver = dns.asyncresolver.Resolver()
                self._resolver.lifetime = _TIMEOUT_SECONDS
            except (dns.exception.DNSException, OSError, ValueError) as error:
                log.warning("providers are not looked up: no name server", reason=str(error))
                self._is_asking = False
                self._wanted.clear()
        return self._resolver

    def _remember(self, found: dict[str, str], now: datetime) -> None:
        for domain, provider in found.items():
            self._known.pop(domain, None)
            self._known[domain] = (provider, now)
        while len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]


async def _find_provider(resolver: dns.asyncresolver.Resolver, domain: str) -> str | None:
    """Whose servers take a domain's mail: the domain's own where nobody's; None for no answer."""
    try:
        answer = await resolver.resolve(f"{domain}.", dns.rdatatype.MX, search=False)
        servers = sorted((record.preference, record.exchange.to_text()) for record in answer)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return domain
    except Exception as error:  # whatever a hostile answer brings about
        log.debug("no answer about a domain", domain=domain, reason=type(error).__name__)
        return None
    return provider_of_servers(host for _, host in servers[:_MOST_SERVERS]) or domain


async def _save(session: AsyncSession, found: dict[str, str], now: datetime) -> None:
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    insert = (sqlite.insert if is_sqlite else postgresql.insert)(MailDomain)
    put = insert.on_conflict_do_update(
        index_elements=["domain"],
        set_={name: insert.excluded[name] for name in ("provider", "looked_up_at")},
    )
    rows: Sequence[dict[str, object]] = [
        {"domain": domain, "provider": provider, "looked_up_at": now}
        for domain, provider in sorted(found.items())  # in one order, lest two nodes meet
    ]
    for start in range(0, len(rows), _PIECE):
        await session.execute(put, rows[start : start + _PIECE])


async def prune(session: AsyncSession, now: datetime) -> None:
    """Forget what has not been looked up for long: no mail goes there any more."""
    await session.execute(delete(MailDomain).where(col(MailDomain.looked_up_at) < now - KEPT))
