"""Builders of the sources stage: a folder, and files in it that are long past their writing."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

WRITTEN_AT = 1_700_000_000
Write = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder of articles."""
    path = tmp_path / "articles"
    path.mkdir()
    return path


@pytest.fixture
def write(folder: Path) -> Write:
    """Write a file below the folder, stamped at a time long past unless told otherwise."""

    def write_file(name: str, content: str | bytes = "text", at: float = WRITTEN_AT) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(path, (at, at))
        return path

    return write_file
