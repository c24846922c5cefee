"""The documents this process serves: its own as soon as stored, others' within a second."""

from collections.abc import Collection, Iterable

from feedsvc.db.engine import Database
from feedsvc.feeds.documents.store import load_documents, load_versions
from feedsvc.model.feed import FeedFormat, ServedDocument, document_path
from feedsvc.web.feeds.answers import Clock
from feedsvc.web.feeds.archives import FindArchive
from feedsvc.web.feeds.endpoint import FeedEndpoint, Note
from feedsvc.web.feeds.policy import ServingPolicy

_FORMATS = frozenset(one.value for one in FeedFormat)


class FeedCache:
    """Keeps the feed endpoint in line with what is stored."""

    def __init__(
        self,
        policy: ServingPolicy | None = None,
        archives: FindArchive | None = None,
        note: Note | None = None,
        now: Clock | None = None,
    ) -> None:
        """Serve nothing yet; the arguments are the endpoint's."""
        policy = policy or ServingPolicy()
        self._base_url = policy.base_url
        self.endpoint = FeedEndpoint((), policy, archives, note, now=now)
        #: (feed, format) -> (version, dense), as loaded last.
        self._versions: dict[tuple[str, str], tuple[int, bool]] = {}
        self._taken: set[str] = set()

    def take(self, changed: list[ServedDocument]) -> None:
        """Serve documents that were just stored."""
        self._taken.update(one.path for one in changed)
        self.endpoint.update(changed)

    def drop_pages(self, feeds: Iterable[str]) -> None:
        """Serve no archive page of these feeds that was looked up before."""
        for feed in feeds:
            self.endpoint.drop_archives(feed)

    async def refresh(self, database: Database) -> None:
        """Load the documents that changed in the database since the last time, by whomever."""
        self._taken.clear()
        async with database.read() as session:
            versions = await load_versions(session)
            changed = {key for key, one in versions.items() if self._versions.get(key) != one}
            feeds = {feed for feed, _ in changed}
            documents = await load_documents(session, self._base_url, feeds) if feeds else []
        self.endpoint.update(documents)
        self._remove_all_but(versions)
        self._versions = versions

    def _remove_all_but(self, stored: Collection[tuple[str, str]]) -> None:
        """Serve no longer what is stored no longer; what was taken meanwhile is newer."""
        kept = {document_path(key, FeedFormat(name)) for key, name in stored if name in _FORMATS}
        served = {one.path for one in self.endpoint.documents()}
        self.endpoint.remove(served - kept - self._taken)
