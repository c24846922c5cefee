"""Files that hold keys: nobody else's to read, and written whole or not at all."""

import os
import secrets
from pathlib import Path

from feedsvc.errors import KeyFileError


def read_private(path: Path) -> bytes:
    """The content of a key file.

    Raises:
        KeyFileError: it cannot be read, or others may read or change it.
    """
    try:
        with path.open("rb") as file:
            # SECURITY: who can read a key can confirm, unsubscribe or sign mail in our name.
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise KeyFileError(f"{path}: others may read or change it; run: chmod 600 {path}")
            return file.read()
    except OSError as error:
        raise KeyFileError(f"{path}: the key file cannot be read: {error.strerror}") from error


def write_private(path: Path, content: bytes) -> None:
    """Put a new key file in place, mode 0600, on disk when this returns.

    It appears whole: nobody ever reads half of it, and of several processes one wins.

    Raises:
        KeyFileError: there is a file already, or it cannot be written.
    """
    try:
        _write_new(path, content)
    except FileExistsError as error:
        raise KeyFileError(f"{path}: there is a key file already") from error
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be written: {error.strerror}") from error


def _write_new(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
