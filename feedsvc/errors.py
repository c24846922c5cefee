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


class ChoiceInvalid(FeedsvcError):
    """A subscriber's choice is not to be had; `field` names which: schedule, topics, language, …"""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{field}: {reason}")


class NotSubscribed(FeedsvcError):
    """A subscription is not confirmed, or has been ended: there is nothing to choose or pause."""


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


class DocumentRefused(FeedsvcError):
    """A feed document failed its check and must not be served; the good one stays."""

    permanent = False

    def __init__(self, feed: str, feed_format: str, reason: str) -> None:
        self.feed, self.feed_format, self.reason = feed, feed_format, reason
        super().__init__(f"feed {feed}: its {feed_format} document is not published: {reason}")


class ExportFailed(FeedsvcError):
    """Feed documents could not be written as files; those that can be are written."""

    permanent = False


class OutputRefused(FeedsvcError):
    """Files that a command makes cannot be written where they are wanted."""


class FilterInvalid(FeedsvcError):
    """The text of a filter cannot be understood, or exceeds its limits.

    `position` counts its characters from 1; None when no single place is at fault.
    """

    def __init__(self, reason: str, position: int | None = None) -> None:
        self.reason, self.position = reason, position
        super().__init__(f"at character {position}: {reason}" if position else reason)


class TemplateInvalid(FeedsvcError):
    """A template does not compile, names something unknown, or exceeds its limits."""


class EditionOver(FeedsvcError):
    """An edition has ended, or not got so far, that what is asked of it could be done."""


class ArticleChanged(FeedsvcError):
    """An article was edited or withdrawn between the decision about it and its mail."""

    permanent = False


class TextUnusable(FeedsvcError):
    """What an operator wrote cannot be put into a mail: it is empty, or too long."""


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


class MailRefused(FeedsvcError):
    """A relay was reached, and did not take a mail that was not to be tried again."""


class FetchRefused(FeedsvcError):
    """An address elsewhere may not be asked: where it leads, or how it is written."""


class FetchFailed(FeedsvcError):
    """Another host did not answer, not in time, or not in a form that can be used."""

    permanent = False


class HubRequestRefused(FeedsvcError):
    """A request to the hub cannot be granted; the text is the answer, `status` its HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.permanent = status < 429
        super().__init__(reason)
