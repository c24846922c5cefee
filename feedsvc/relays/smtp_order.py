"""One message as SMTP wants it: its commands and content, made before a connection is touched."""

from dataclasses import dataclass

from feedsvc.errors import InvalidAddress
from feedsvc.model.relay import Envelope, Meaning, SendResult, Verdict
from feedsvc.relays.path import encode_path, encode_return_path
from feedsvc.relays.smtp_content import UnwritableContent, prepare_content
from feedsvc.relays.smtp_session import SmtpSession


@dataclass(slots=True)
class Order:
    """What is said for one message."""

    sender: bytes
    recipient: bytes
    #: With dots doubled; the final one is not part of it.
    content: bytes
    #: Octets before dots were doubled, as SIZE counts them (RFC 1870 §5).
    size: int
    is_ascii: bool

    def compose(self, session: SmtpSession) -> tuple[bytes, bytes, bytes]:
        """MAIL, RCPT and DATA for a server that offers what `find_missing` asked for."""
        options = b" SIZE=%d" % self.size if session.has_size else b""
        if not self.is_ascii:
            options += b" BODY=8BITMIME"
        if not (self.sender.isascii() and self.recipient.isascii()):
            options += b" SMTPUTF8"
        return (
            b"MAIL FROM:%b%b\r\n" % (self.sender, options),
            b"RCPT TO:%b\r\n" % self.recipient,
            b"DATA\r\n",
        )

    def find_missing(self, session: SmtpSession) -> SendResult | None:
        """Why this server cannot carry the message; None when it can."""
        if not self.recipient.isascii() and not session.has_smtputf8:
            return SendResult(
                Verdict.REFUSED,
                text="the part before the @ is not ASCII, and the relay does not offer SMTPUTF8",
                meaning=Meaning.UNUSABLE_ADDRESS,
            )
        if not self.sender.isascii() and not session.has_smtputf8:
            return _blame_us("the return path is not ASCII: the relay does not offer SMTPUTF8")
        if not self.is_ascii and not session.has_8bitmime:
            return _blame_us("the message is not ASCII: the relay does not offer 8BITMIME")
        return None


def write_down(envelope: Envelope, message: bytes) -> Order | SendResult:
    """The order for a message, or why there can be none."""
    try:
        sender = encode_return_path(envelope.return_path)
    except InvalidAddress as error:
        return _blame_us(f"return path: {error}")
    try:
        recipient = encode_path(envelope.recipient)
    except InvalidAddress as error:
        return SendResult(Verdict.REFUSED, text=str(error), meaning=Meaning.UNUSABLE_ADDRESS)
    if envelope.is_wire_ready and message.endswith(b"\r\n"):
        return Order(sender, recipient, message, len(message), is_ascii=True)
    try:
        content, size = prepare_content(message)
    except UnwritableContent as error:
        return _blame_us(str(error))
    return Order(sender, recipient, content, size, content.isascii())


def _blame_us(text: str) -> SendResult:
    return SendResult(Verdict.BLOCKED, text=text, meaning=Meaning.OUR_FAULT)
