"""Keys that mails are signed with: reading and making them, and what DNS has to say of them."""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from feedsvc.errors import KeyFileError
from feedsvc.kit.private_files import read_private, write_private

PrivateKey = RSAPrivateKey | Ed25519PrivateKey

#: Signers use at least 2048 bits, verifiers need not know more than 4096 (RFC 8301 §3.2).
MIN_RSA_BITS, _MAX_RSA_BITS = 2048, 4096
# RFC 6376 §3.1: labels of DNS, which have no underline; our selectors are one label.
_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?")
#: What one string of a TXT record can hold (RFC 1035 §3.3).
_STRING_OCTETS = 255


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """A TXT record."""

    name: str
    value: str

    @property
    def strings(self) -> list[str]:
        """The value in the pieces that DNS keeps it in; readers join them."""
        step = _STRING_OCTETS
        return [self.value[start : start + step] for start in range(0, len(self.value), step)]

    @property
    def zone_line(self) -> str:
        """The record as a zone file has it."""
        quoted = " ".join(f'"{one}"' for one in self.strings)
        return f"{self.name}. IN TXT ( {quoted} )"


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A key and where its record is. May sign in several threads at once."""

    selector: str
    domain: str
    private: PrivateKey = field(repr=False)
    #: It signs new mail; otherwise only what it has signed before.
    is_active: bool = True

    @property
    def is_rsa(self) -> bool:
        """RSA; otherwise Ed25519."""
        return isinstance(self.private, RSAPrivateKey)

    @property
    def algorithm(self) -> str:
        """As in a signature's a= (RFC 6376 §3.3, RFC 8463 §3)."""
        return "rsa-sha256" if self.is_rsa else "ed25519-sha256"

    def covers(self, domain: str) -> bool:
        """Whether it signs mail that is from this domain: its own, or one below it."""
        return f".{domain.lower()}".endswith(f".{self.domain}")

    def sign(self, data: bytes) -> bytes:
        """Sign header fields in canonical form; the same data gives the same signature."""
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(data, PKCS1v15(), hashes.SHA256())
        return self.private.sign(sha256(data).digest())

    @property
    def record(self) -> DnsRecord:
        """What has to stand in DNS before the key is used (RFC 6376 §3.6.1)."""
        public, kind = self.private.public_key(), "rsa"
        if self.is_rsa:
            encoded = public.public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        else:  # RFC 8463 §4.2: the 32 bytes alone
            kind = "ed25519"
            encoded = public.public_bytes(
                serialization.Encoding.Raw, serialization.PublicFormat.Raw
            )
        value = f"v=DKIM1; k={kind}; p={b64encode(encoded).decode()}"
        return DnsRecord(f"{self.selector}._domainkey.{self.domain}", value)


def check_selector(selector: str) -> None:
    """Raise ValueError for what cannot be a selector."""
    if not _SELECTOR.fullmatch(selector):
        raise ValueError(
            "a selector has lower-case letters, digits and -, at most 50, and begins and ends with"
            " a letter or digit"
        )


def read_private_key(path: Path) -> PrivateKey:
    """Read a PEM file.

    Raises:
        KeyFileError: it cannot be read, others may read it, or it is no key that mail may be
            signed with; the text says what to do.
    """
    content = read_private(path)
    make = "make one by: feedsvc dkim new"
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except TypeError as error:
        raise KeyFileError(
            f"{path}: is encrypted; store it without a passphrase, readable by its owner alone"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path}: is not a private key in PEM; {make}") from error
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise KeyFileError(f"{path}: is neither an RSA nor an Ed25519 key; {make}")
    if isinstance(key, RSAPrivateKey) and not MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
        raise KeyFileError(
            f"{path}: is an RSA key of {key.key_size} bits; receivers want {MIN_RSA_BITS} to"
            f" {_MAX_RSA_BITS}: {make}"
        )
    return key


def make_private_key(path: Path, *, is_rsa: bool) -> PrivateKey:
    """Make a key and store it in a new file, mode 0600, on disk when this returns.

    Raises:
        KeyFileError: there is a file already, or it cannot be written.
    """
    if path.exists():  # told before the work; write_private decides
        raise KeyFileError(f"{path}: there is a key file already")
    key: PrivateKey = (
        generate_private_key(65537, MIN_RSA_BITS) if is_rsa else Ed25519PrivateKey.generate()
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_private(path, pem)
    return key
