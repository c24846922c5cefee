"""A folder of articles: Markdown, HTML and text files, at any depth."""

from pathlib import Path
from types import MappingProxyType

from feedsvc.sources.files import (
    HTML_SUFFIXES,
    MARKDOWN_SUFFIXES,
    TEXT_SUFFIXES,
    FileSource,
)

ARTICLE_TYPES = MappingProxyType({**MARKDOWN_SUFFIXES, **HTML_SUFFIXES, **TEXT_SUFFIXES})


class FolderSource(FileSource):
    """Yields each article file below a folder; its key is the path below that folder."""

    def __init__(self, key: str, path: Path) -> None:
        """A folder source; `path` is absolute and need not exist yet."""
        super().__init__(key, path, ARTICLE_TYPES)
