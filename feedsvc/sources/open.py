"""Opens the source that a section of the configuration describes."""

from pathlib import Path

from feedsvc.config import SourceSettings
from feedsvc.model.ports import SourcePort
from feedsvc.sources.folder import FolderSource
from feedsvc.sources.page import PageSource


def open_source(key: str, settings: SourceSettings, base: Path) -> SourcePort:
    """The source named `key`; a relative path is taken below `base`. Touches no file."""
    path = base / settings.path.expanduser()
    if settings.type == "page":
        return PageSource(key, path)
    return FolderSource(key, path)
