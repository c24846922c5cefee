"""How long an SMTP server may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SmtpLimits:
    """Time limits in seconds; each is for a whole reply, however slowly it drips in.

    Those of a message are the ones RFC 5321 §4.5.3.2 asks for.
    """

    #: Connecting, TLS, EHLO and AUTH together.
    session_seconds: float = 300
    #: Name lookup, TCP, TLS from the first byte, and the greeting.
    connect_seconds: float = 120
    #: STARTTLS and the handshake after it.
    tls_seconds: float = 60
    ehlo_seconds: float = 60
    auth_seconds: float = 60
    mail_seconds: float = 300
    rcpt_seconds: float = 300
    data_seconds: float = 120
    #: Writing the message and the reply to its dot: a shorter wait is the main maker of
    #: duplicates (RFC 1047).
    dot_seconds: float = 600
    reset_seconds: float = 60
    quit_seconds: float = 5
