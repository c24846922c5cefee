"""Saved news pages: one file, or a folder of them. Reading them is articles/pages.py's work."""

import os
import unicodedata
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from feedsvc.sources.files import HTML_SUFFIXES, TEXT_SUFFIXES, FileSource
from feedsvc.sources.tree import FoundFile, OpenFolder, Refusal, look_at
from feedsvc.sources.watch import watch_files

PAGE_TYPES = MappingProxyType({**HTML_SUFFIXES, **TEXT_SUFFIXES})


class PageSource(FileSource):
    """Yields saved news pages. Whether the path is a file or a folder is seen at each scan."""

    expected = "a folder, nor a .html, .htm or .txt file"

    def __init__(self, key: str, path: Path) -> None:
        """A source of pages; `path` is absolute and need not exist yet."""
        super().__init__(key, path, PAGE_TYPES, is_page=True)

    def changes(self) -> AsyncGenerator[None, None]:
        """Yield once when watching begins, then soon after a page has changed."""
        return watch_files(self._folder, self.reads, recursive=not self._is_single())

    def reads(self, name: str) -> bool:
        """Whether a file of this name would be read; of a single file, only itself."""
        if self._is_single():
            return name == self.path.name
        return super().reads(name)

    def _is_single(self) -> bool:
        # By the name too: a page that is missing for a moment is still a page.
        return super().reads(self.path.name) and not self.path.is_dir()

    def _folder(self) -> Path:
        return self.path.parent if self._is_single() else self.path

    def _open(self) -> OpenFolder:
        if self._is_single():
            # The operator named this file; if it is a link, it may lead anywhere.
            return OpenFolder(Path(os.path.realpath(self.path)).parent)
        return super()._open()

    def _walk(self, folder: OpenFolder) -> list[FoundFile | Refusal]:
        if not self._is_single():
            return super()._walk(folder)
        name = Path(os.path.realpath(self.path)).name
        found = look_at(folder, (name,), os.stat(folder.path / name, follow_symlinks=False))
        return [replace(found, key=unicodedata.normalize("NFC", self.path.name))]
