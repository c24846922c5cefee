"""How long an SMTP server may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SmtpLimits:
    """Time limits in seconds; each covers a whole reply, however slowly it drips in."""

    #: Connecting, TLS, EHLO and AUTH together.
    session_seconds: float = 120
    #: The reply to one command (RFC 5321 §4.5.3.2 asks for 2 to 5 minutes).
    command_seconds: float = 120
    #: Handing over the body and the reply to the dot: RFC 5321 §4.5.3.2.6 asks for 10 minutes,
    #: and a shorter wait is the main maker of duplicates (RFC 1047).
    dot_seconds: float = 600
    quit_seconds: float = 5
