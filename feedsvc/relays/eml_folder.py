"""A relay that writes every mail as a file; nothing leaves the machine.

A file appears whole or not at all, under a name made of the message alone: the same message
handed over twice is one file.
"""

import asyncio
import contextlib
import hashlib
import os
from datetime import UTC
from email import message_from_bytes, policy
from email.utils import parsedate_to_datetime
from pathlib import Path

from feedsvc.errors import InvalidAddress, RelayUnavailable
from feedsvc.model.relay import Envelope, Meaning, Permit, RelayConnection, SendResult, Verdict
from feedsvc.relays.path import encode_path, encode_return_path


class EmlFolderRelay:
    """Writes into one folder, made when it is missing."""

    def __init__(self, folder: Path, *, connections: int = 4, name: str = "eml_folder") -> None:
        self.name = name
        self.connections = connections
        self.first_connections = connections
        #: Nothing is kept open, so nothing is kept for later.
        self.idle_seconds = 0.0
        self._folder = folder

    async def open(self) -> RelayConnection:
        """Make sure the folder is there and can be written to. Raises RelayUnavailable."""
        try:
            await asyncio.to_thread(_make_folder, self._folder)
        except OSError as error:
            raise RelayUnavailable(self.name, f"{self._folder}: {error.strerror}") from error
        return _EmlFolderConnection(self._folder)


class _EmlFolderConnection:
    #: There is nothing that could end or age.
    is_usable = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, envelope: Envelope, message: bytes, permit: Permit) -> SendResult:
        """Write the message as a file, below the trace fields a mailbox would add."""
        try:
            sender = encode_return_path(envelope.return_path)
        except InvalidAddress as error:
            text = f"return path: {error}"
            return SendResult(Verdict.BLOCKED, text=text, meaning=Meaning.OUR_FAULT)
        try:
            recipient = encode_path(envelope.recipient)[1:-1]
        except InvalidAddress as error:
            return SendResult(Verdict.REFUSED, text=str(error), meaning=Meaning.UNUSABLE_ADDRESS)
        trace = b"Return-Path: %b\r\nDelivered-To: %b\r\n" % (sender, recipient)
        if not await permit():
            return SendResult(Verdict.WITHHELD)
        path = self._folder / file_name(envelope, message)
        return await asyncio.to_thread(_write, path, trace + message)

    async def close(self) -> None:
        """Nothing is kept open."""


def file_name(envelope: Envelope, message: bytes) -> str:
    """`<UTC of the Date field>-<digest of Message-ID and recipient>.eml`."""
    head = message_from_bytes(message.partition(b"\r\n\r\n")[0], policy=policy.compat32)
    identity = head.get("Message-ID") or hashlib.sha256(message).hexdigest()
    digest = hashlib.sha256(f"{identity}\0{envelope.recipient}".encode("utf-8", "replace"))
    try:
        date = parsedate_to_datetime(str(head["Date"])).astimezone(UTC)
        when = date.strftime("%Y%m%dT%H%M%SZ")
    except (TypeError, ValueError, OverflowError):
        when = "undated"
    return f"{when}-{digest.hexdigest()[:20]}.eml"


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, "cannot be written to")


def _write(path: Path, content: bytes) -> SendResult:
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        return SendResult(Verdict.UNAVAILABLE, text=f"{path.parent}: {error.strerror}")
    try:
        _sync_folder(path.parent)
    except OSError as error:
        # The file has its name, but whether it keeps it through a power cut is unknown.
        return SendResult(Verdict.UNKNOWN, text=f"{path.parent}: {error.strerror}")
    return SendResult(Verdict.ACCEPTED, text=path.name)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
