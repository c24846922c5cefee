"""Messages: a cohort's rendered mail with one person's values, as the bytes that are sent.

The same inputs make the same bytes, so a message can be made again for a resend.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from feedsvc.messages.headers import (
    date_field,
    feedback_id_field,
    fixed_field,
    list_id_field,
    list_unsubscribe_field,
    mailbox_field,
    message_id_field,
    text_field,
    wire_address,
)
from feedsvc.messages.mime import (
    MIME_VERSION,
    boundary_for,
    content_type_field,
    frame,
    is_relaxed,
    is_wire_ready,
)
from feedsvc.messages.parts import Part
from feedsvc.messages.splice import Slot, checked_value, splice_some, written_value
from feedsvc.model.newsletter import Newsletter


class Rendered(Protocol):
    """What is needed of a rendered mail: a Cohort row and a RenderedMail both have it."""

    @property
    def subject(self) -> str: ...
    @property
    def html(self) -> str: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Recipient:
    """One person a message is for."""

    #: As on the wire: the domain is an A-label.
    address: str
    name: str = ""
    #: Slot name -> value. The address needs no value of its own.
    values: Mapping[str, str] = field(default_factory=dict)

    def spliced(self) -> dict[str, str]:
        """Every value for the slots of this person's mail."""
        return {Slot.ADDRESS: self.address, Slot.NAME: self.name, **self.values}


@dataclass(frozen=True, slots=True)
class Draft:
    """A message before it is signed, in pieces that need not be joined to be hashed."""

    #: Header fields, each with its CRLF.
    fields: tuple[bytes, ...]
    #: The body, in pieces.
    body: tuple[bytes, ...]
    #: The body is in the relaxed form of DKIM.
    is_relaxed: bool = False
    #: As in Envelope.
    is_wire_ready: bool = False

    def join(self, signatures: bytes = b"") -> bytes:
        """The message, with signatures on top."""
        return b"".join((signatures, *self.fields, b"\r\n", *self.body))


class CohortMessage:
    """Makes the messages of one cohort; what all of them share is encoded once.

    May be used by several threads at once.

    Args:
        list_domain: host name that List-Id ends in, after the newsletter's key.
        feedback: what mailbox providers may count this mail under, from the narrowest; the same
            for a cohort, or it would tell them who is who.
        shared: values that are the same for the whole cohort, such as the view address.
    """

    def __init__(
        self,
        mail: Rendered,
        newsletter: Newsletter,
        list_domain: str,
        feedback: Sequence[str],
        shared: Mapping[str, str] | None = None,
    ) -> None:
        values = shared or {}
        self._from = mailbox_field(
            "From", newsletter.from_name, wire_address(newsletter.from_address)
        )
        self._subject = text_field("Subject", mail.subject)
        self._list_id = list_id_field(newsletter.title, f"{newsletter.key}.{list_domain}")
        self._feedback = feedback_id_field(feedback)
        self._text = Part(splice_some(mail.text, values, escape=False))
        self._html = Part(splice_some(mail.html, values, escape=True))
        static = (
            *(self._from, self._subject, self._list_id, _NO_POSTS, self._feedback),
            *(_ONE_CLICK, MIME_VERSION),
        )
        borders = frame("=_")
        # What is not static are base64 and fields whose serialisers keep to the same rules.
        self._is_wire_ready = is_wire_ready(b"".join((*static, *borders)))
        self._is_relaxed = all(map(is_relaxed, borders))

    def build(self, person: Recipient, date: datetime, message_id: str) -> Draft:
        """One person's message.

        Args:
            person: needs a value for Slot.UNSUBSCRIBE_URL, and for what else the mail asks for.
            date: of the Date header; fixed at the first attempt.

        Raises:
            MessageUnbuildable: a value is missing or cannot be written.
        """
        values = person.spliced()
        boundary = boundary_for(message_id)
        opening, between, closing = frame(boundary)
        to = mailbox_field("To", person.name, person.address)
        fields = (
            self._from,
            to,
            self._subject,
            date_field(date),
            message_id_field(message_id),
            self._list_id,
            _NO_POSTS,
            list_unsubscribe_field([checked_value(values, Slot.UNSUBSCRIBE_URL)]),
            _ONE_CLICK,
            self._feedback,
            MIME_VERSION,
            content_type_field(boundary),
        )
        body = (
            opening,
            *self._text.encode(_written(values, self._text, escape=False)),
            between,
            *self._html.encode(_written(values, self._html, escape=True)),
            closing,
        )
        return Draft(fields, body, self._is_relaxed, self._is_wire_ready and to.isascii())


# RFC 8058 §3.1: exactly this.
# RFC 2369 §3.4: nobody writes to this list; filters take a mail for a list's by it.
_NO_POSTS = fixed_field("List-Post", "NO")
_ONE_CLICK = fixed_field("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")


def notice_draft(
    mail: Rendered,
    newsletter: Newsletter,
    person: Recipient,
    date: datetime,
    message_id: str,
) -> Draft:
    """One notice, marked as sent by a program (RFC 3834 §5). Raises MessageUnbuildable.

    SECURITY: whoever fills in the form may give somebody else's address and any name, so the
    name is not used: no visitor's words reach a stranger through us.
    """
    values = {**person.spliced(), Slot.NAME: ""}
    boundary = boundary_for(message_id)
    opening, between, closing = frame(boundary)
    text, html = Part(mail.text), Part(mail.html)
    fields = (
        mailbox_field("From", newsletter.from_name, wire_address(newsletter.from_address)),
        mailbox_field("To", "", person.address),
        text_field("Subject", mail.subject),
        date_field(date),
        message_id_field(message_id),
        fixed_field("Auto-Submitted", "auto-generated"),
        MIME_VERSION,
        content_type_field(boundary),
    )
    body = (
        opening,
        *text.encode(_written(values, text, escape=False)),
        between,
        *html.encode(_written(values, html, escape=True)),
        closing,
    )
    draft = Draft(fields, body)
    return replace(draft, is_wire_ready=is_wire_ready(draft.join()))


def message_id(key: bytes, domain: str) -> str:
    """A Message-ID, without angle brackets, for a key that is derived from what is sent to whom."""
    return f"{key[:20].hex()}@{domain}"


def _written(values: Mapping[str, str], part: Part, *, escape: bool) -> dict[str, bytes]:
    """What a part asks for, as it is written there."""
    return {name: written_value(values, name, escape).encode() for name in part.slots}
