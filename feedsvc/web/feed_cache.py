"""The documents this process serves: its own as soon as stored, others' within a second."""

from feedsvc.db.engine import Database
from feedsvc.feeds.documents import load_documents, load_versions
from feedsvc.model.feed import ServedDocument
from feedsvc.web.feeds import FeedEndpoint


class FeedCache:
    """Keeps the feed endpoint in line with what is stored."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, str], int] | None = None
        self.endpoint = FeedEndpoint()

    def take(self, changed: list[ServedDocument]) -> None:
        """Serve documents that were just stored."""
        self.endpoint.update(changed)

    async def refresh(self, database: Database) -> None:
        """Load all documents again if any of them changed in the database."""
        async with database.read() as session:
            versions = await load_versions(session)
            if versions == self._versions:
                return
            documents = await load_documents(session)
        self._versions = versions
        self.endpoint.replace(documents)
