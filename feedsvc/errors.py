"""Every deliberate exception. What went wrong, with which thing, what the operator can do.

The central question is whether trying again can help: `permanent` answers it. Anything that is
not one of these is a fault of the program, and counts as temporary where work is retried.
"""


class FeedsvcError(Exception):
    """Base of all deliberate errors; its text is shown to people as it is."""

    #: Trying again without changing anything cannot help.
    permanent: bool = True


class ConfigError(FeedsvcError):
    """The configuration cannot be used. The text holds one `file:line: key: problem` a line."""


class NotFound(FeedsvcError):
    """A thing the operator or a reader named does not exist."""


class InvalidAddress(FeedsvcError):
    """An e-mail address cannot be used; the text says why without repeating the address."""


class InvalidToken(FeedsvcError):
    """A signed token is malformed, forged, of another scope, or no longer valid."""


class KeyFileError(FeedsvcError):
    """The key file is missing a key, readable by others, or not a key file."""


class BrokenArticle(FeedsvcError):
    """One raw item cannot become an article; the others go on.

    `location` names the file or address, `line` the line in it (1-based) where known.
    """

    def __init__(self, location: str, reason: str, line: int | None = None) -> None:
        self.location, self.reason, self.line = location, reason, line
        where = f"{location}:{line}" if line is not None else location
        super().__init__(f"{where}: {reason}")


class SourceUnavailable(FeedsvcError):
    """A source is missing, unreadable, or looks emptied; nothing is withdrawn because of it."""

    permanent = False


class EntryUnrenderable(FeedsvcError):
    """One article cannot be serialised into a feed; the feed goes on without it."""


class TemplateInvalid(FeedsvcError):
    """A template does not compile, names something unknown, or exceeds its limits."""


class MessageUnbuildable(FeedsvcError):
    """One message cannot be made (a value missing, an address we cannot write); others go on."""


class DatabaseUnavailable(FeedsvcError):
    """The database does not answer, or refuses us."""

    permanent = False


class MigrationRefused(FeedsvcError):
    """The database's tables cannot be brought to what this version needs; nothing was changed."""


class SenderBusy(FeedsvcError):
    """Another process on this database is sending; work goes on there."""

    permanent = False


class RelayUnavailable(FeedsvcError):
    """A relay cannot be reached or refuses the session (not one message of it)."""

    permanent = False

    def __init__(self, relay: str, reason: str, code: int | None = None) -> None:
        self.relay, self.reason, self.code = relay, reason, code
        super().__init__(f"relay {relay}: {reason}")
