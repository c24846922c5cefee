"""E-mail addresses: what goes on the wire, and what is compared.

Syntax only; whether a mailbox exists is for the mail itself to find out.
"""

import unicodedata
from dataclasses import dataclass
from email.utils import parseaddr

from email_validator import EmailNotValidError, validate_email

from feedsvc.errors import InvalidAddress

#: RFC 5321 §4.5.3.1.3, less the angle brackets.
MAX_OCTETS = 254

_SHAPE = "an e-mail address is written like name@example.com"
_ONE_LINE = "an e-mail address is one line, without control characters"
_TOO_LONG = f"an e-mail address has at most {MAX_OCTETS} characters"
_LOOK_ALIKE = "the part before the @ holds letters that are easily taken for others"


@dataclass(frozen=True, slots=True)
class Address:
    """An e-mail address that may be mailed.

    `wire` has the local part as given (in NFC, RFC 6532 §3.1) and the domain as A-labels in
    lower case; `key` is the form that is compared and unique; `domain` is the domain of `wire`;
    `smtputf8` says that handing it over needs RFC 6531.
    """

    wire: str
    key: str
    domain: str
    smtputf8: bool


def parse_address(text: str) -> Address:
    """Read one bare address: no display name, no quoted local part, no comment, no list.

    Raises:
        InvalidAddress: says why without repeating the address, so that it can be logged.
    """
    text = text.strip(" ")
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in text):
        raise InvalidAddress(_ONE_LINE)
    if len(text) > MAX_OCTETS:
        raise InvalidAddress(_TOO_LONG)
    _refuse_look_alikes(text.rpartition("@")[0])
    try:
        # Names under .test and .example are for those who try the service out.
        valid = validate_email(
            text,
            check_deliverability=False,
            test_environment=True,
            allow_smtputf8=True,
            allow_quoted_local=False,
            allow_domain_literal=False,
        )
    except (EmailNotValidError, UnicodeError) as error:
        # The library's own words may repeat parts of the address.
        raise InvalidAddress(_SHAPE) from error
    domain = (valid.ascii_domain or "").lower()
    wire = f"{valid.local_part}@{domain}"
    if len(wire.encode()) > MAX_OCTETS:
        raise InvalidAddress(_TOO_LONG)
    # SECURITY: SMTP clients put addresses through parseaddr; one it would change goes elsewhere.
    # An encoded-word (RFC 2047) in the local part is decoded by some servers on the way.
    if not domain or parseaddr(wire)[1] != wire or "=?" in wire:
        raise InvalidAddress(_SHAPE)
    return Address(
        wire=wire,
        key=f"{_lower_ascii(valid.local_part)}@{domain}",
        domain=domain,
        smtputf8=not valid.local_part.isascii(),
    )


def _refuse_look_alikes(local: str) -> None:
    """Refuse what Unicode folds to ASCII: `ſ`, the Kelvin sign, full-width letters, `ı`.

    SECURITY: whoever can make another's address out of such letters can ask for that person's
    mail (CVE-2019-19844). It is checked before NFC, which itself turns U+212A into K.
    """
    for character in local:
        if character.isascii() or character.isspace():
            continue  # spaces are refused for what they are
        plain = unicodedata.normalize("NFKC", character)
        folded = unicodedata.normalize("NFKC", plain.casefold()) + plain.upper()
        if any(part.isascii() for part in folded):
            raise InvalidAddress(_LOOK_ALIKE)


def _lower_ascii(text: str) -> str:
    """Lower-case the ASCII letters; other scripts stay, since no server need fold them."""
    return "".join(c.lower() if c.isascii() else c for c in text)
