"""Why no session with an SMTP server could be opened, in words for the operator."""

import ssl
from collections.abc import Iterator

import aiosmtplib

from feedsvc.kit.replies import clean_text

#: OpenSSL's reasons (X509_V_ERR_*) that have better words than its own.
_CERTIFICATE = {
    9: "is not valid yet (is the clock right?)",
    10: "has expired",
    18: "is self-signed: no authority vouches for it",
    19: "is vouched for by an authority that is not known here",
    20: "is vouched for by an authority that is not known here",
    21: "is vouched for by an authority that is not known here",
    23: "has been revoked",
    62: "is for another name: relay hosts are written as their certificate names them",
    64: "is for another name: relay hosts are written as their certificate names them",
}
_WRONG_PASSWORD = 535


def say_failure(error: BaseException) -> str:
    """One line on what went wrong; the code too, where the server gave one."""
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = _CERTIFICATE.get(cause.verify_code, f"is refused: {cause.verify_message}")
            return f"the server's certificate {clean_text(reason)}"
        if isinstance(cause, ssl.SSLError):
            return _say_tls(cause)
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        what = "user name or password" if error.code == _WRONG_PASSWORD else "signing in"
        return clean_text(f"{what} refused: {error.code} {error.message}")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        code = f"{error.code} " if error.code != -1 else ""
        return clean_text(f"{code}{error.message}")
    if isinstance(error, aiosmtplib.SMTPServerDisconnected):
        return "the server closed the connection"
    if isinstance(error, TimeoutError) and not str(error):
        return "too slow"
    return clean_text(str(error)) or type(error).__name__


def _say_tls(error: ssl.SSLError) -> str:
    reason = clean_text(error.reason or str(error))
    hint = ""
    if "WRONG_VERSION" in reason or "RECORD_LAYER" in reason:
        hint = ': the port does not begin with TLS (tls = "required" is for STARTTLS)'
    return f"TLS failed: {reason}{hint}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
