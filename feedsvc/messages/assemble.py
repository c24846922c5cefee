"""Messages: a cohort's rendered mail with one person's values, as the bytes that are sent.

The same inputs make the same bytes, so a message can be made again for a resend.
"""

from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from feedsvc.messages.headers import (
    date_field,
    fixed_field,
    list_id_field,
    list_unsubscribe_field,
    mailbox_field,
    message_id_field,
    text_field,
)
from feedsvc.messages.mime import (
    between,
    boundary_for,
    build_message,
    canonical,
    closing,
    encode_lines,
    opening,
    whole_lines,
)
from feedsvc.messages.splice import Slot, checked_value, first_slot, splice, splice_some
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


class CohortMessage:
    """Makes the messages of one cohort; what all of them share is encoded once.

    Args:
        list_domain: host name that List-Id ends in, after the newsletter's key.
        shared: values that are the same for the whole cohort, such as the view address.
    """

    def __init__(
        self,
        mail: Rendered,
        newsletter: Newsletter,
        list_domain: str,
        shared: Mapping[str, str] | None = None,
    ) -> None:
        values = shared or {}
        self._from = mailbox_field("From", newsletter.from_name, newsletter.from_address)
        self._subject = text_field("Subject", mail.subject)
        self._list_id = list_id_field(newsletter.title, f"{newsletter.key}.{list_domain}")
        self._text = _Part(splice_some(mail.text, values, escape=False), escape=False)
        self._html = _Part(splice_some(mail.html, values, escape=True), escape=True)

    def build(self, person: Recipient, date: datetime, message_id: str) -> bytes:
        """One person's message.

        Args:
            person: needs a value for Slot.UNSUBSCRIBE_URL, and for what else the mail asks for.
            date: of the Date header; fixed at the first attempt.

        Raises:
            MessageUnbuildable: a value is missing or cannot be written.
        """
        values = person.spliced()
        boundary = boundary_for(message_id)
        return b"".join(
            (
                self._from,
                mailbox_field("To", person.name, person.address),
                self._subject,
                date_field(date),
                message_id_field(message_id),
                self._list_id,
                list_unsubscribe_field([checked_value(values, Slot.UNSUBSCRIBE_URL)]),
                _ONE_CLICK,
                opening(boundary),
                *self._text.encoded(values),
                between(boundary),
                *self._html.encoded(values),
                closing(boundary),
            )
        )


# RFC 8058 §3.1: exactly this.
_ONE_CLICK = fixed_field("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")


def digest_message(
    mail: Rendered,
    newsletter: Newsletter,
    person: Recipient,
    date: datetime,
    message_id: str,
    list_domain: str,
) -> bytes:
    """One digest; for many of a cohort keep a CohortMessage. Raises MessageUnbuildable."""
    return CohortMessage(mail, newsletter, list_domain).build(person, date, message_id)


def notice_message(
    mail: Rendered,
    newsletter: Newsletter,
    person: Recipient,
    date: datetime,
    message_id: str,
) -> bytes:
    """One notice, marked as sent by a program (RFC 3834 §5). Raises MessageUnbuildable.

    SECURITY: whoever fills in the form may give somebody else's address and any name, so the
    name is not used: no visitor's words reach a stranger through us.
    """
    values = {**person.spliced(), Slot.NAME: ""}
    headers = (
        mailbox_field("From", newsletter.from_name, newsletter.from_address),
        mailbox_field("To", "", person.address),
        text_field("Subject", mail.subject),
        date_field(date),
        message_id_field(message_id),
        fixed_field("Auto-Submitted", "auto-generated"),
    )
    text, html = splice(mail.text, values, escape=False), splice(mail.html, values, escape=True)
    return build_message(headers, text, html, boundary_for(message_id))


def message_id(key: bytes, domain: str) -> str:
    """A Message-ID, without angle brackets, for a key that is derived from what is sent to whom."""
    return f"{b32encode(key[:20]).decode().rstrip('=').lower()}@{domain}"


class _Part:
    """One part of a mail: encoded up to its first slot, and the rest for each person anew."""

    def __init__(self, rendered: str, escape: bool) -> None:
        cut = first_slot(rendered)
        head = canonical(rendered[:cut])
        whole = whole_lines(head)
        self._escape = escape
        self._head = encode_lines(head[:whole])
        self._rest_of_head = head[whole:]
        self._tail = rendered[cut:]

    def encoded(self, values: Mapping[str, str]) -> tuple[bytes, bytes]:
        """The base64 lines of the part, in two pieces."""
        tail = canonical(splice(self._tail, values, self._escape))
        return self._head, encode_lines(self._rest_of_head + tail)
