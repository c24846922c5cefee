"""DKIM signatures (RFC 6376, RFC 8463): who signs for a domain, and the header field it makes."""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from feedsvc.config_sending import DkimKeySettings
from feedsvc.errors import ConfigError, KeyFileError
from feedsvc.messages.dkim_keys import DkimKey, check_selector, read_private_key

#: Signed where a mail has them. RFC 8058 §4 asks for both of List-Unsubscribe.
_SIGNED = frozenset(
    b"from to subject date message-id reply-to mime-version content-type list-id list-unsubscribe"
    b" list-unsubscribe-post list-post feedback-id auto-submitted".split()
)
#: Signed once more than they are there, so that nobody adds another (RFC 6376 §8.15).
_OVERSIGNED = (b"from", b"to", b"subject", b"date")
#: Every signature costs each receiver a look into DNS, and us an RSA operation.
_MAX_SIGNATURES = 3
_LINE = 76
_BLANKS = re.compile(rb"[ \t\r\n]+")


class Signers:
    """The keys of this service. May be used by several threads at once."""

    def __init__(self, keys: Iterable[DkimKey] = ()) -> None:
        self._keys = {key.selector: key for key in keys}

    @classmethod
    def load(cls, configured: Mapping[str, DkimKeySettings], base: Path) -> "Signers":
        """Read the key files.

        Args:
            configured: selector -> its settings.
            base: folder that relative paths are below.

        Raises:
            ConfigError: for every key that cannot be used a line, which names it and its file.
        """
        keys, problems = [], []
        for selector, one in configured.items():
            try:
                check_selector(selector)
                private = read_private_key(base / one.file)
            except ValueError as error:
                problems.append(f"dkim.{selector}: {error}")
            except KeyFileError as error:
                problems.append(f"dkim.{selector}.file: {error}")
            else:
                keys.append(DkimKey(selector, one.domain, private, one.active))
        signers = cls(keys)
        for domain in sorted({key.domain for key in keys}):
            if len(signing := signers.for_domain(domain)) > _MAX_SIGNATURES:
                problems.append(
                    f"dkim: mail from {domain} would have {len(signing)} signatures"
                    f" ({', '.join(signing)}); set active = false for all but {_MAX_SIGNATURES}"
                )
        if problems:
            raise ConfigError("\n".join(problems))
        return signers

    @property
    def keys(self) -> tuple[DkimKey, ...]:
        """All keys, in the order of the configuration."""
        return tuple(self._keys.values())

    def for_domain(self, domain: str) -> tuple[str, ...]:
        """Selectors of the keys that sign new mail from a domain (A-label), RSA first."""
        keys = [key for key in self.keys if key.is_active and key.covers(domain)]
        return tuple(key.selector for key in sorted(keys, key=lambda key: not key.is_rsa))

    def choose(self, domain: str, signed_with: str | None) -> tuple[str, ...]:
        """Selectors to sign a mail with.

        Args:
            domain: of its From, as A-label.
            signed_with: selectors it was signed with before, separated by blanks, so that it is
                the same mail again; None: it is new. Those whose keys are gone are left out; when
                all are, it is signed as if it were new.
        """
        if signed_with is None:
            return self.for_domain(domain)
        named = signed_with.split()
        left = tuple(name for name in named if name in self._keys)
        left = tuple(name for name in left if self._keys[name].covers(domain))
        return left if left or not named else self.for_domain(domain)

    def sign(
        self,
        fields: Sequence[bytes],
        body: Sequence[bytes],
        selectors: Sequence[str],
        at: datetime,
        *,
        is_relaxed: bool = False,
    ) -> bytes:
        """The DKIM-Signature fields of a mail, to stand above its others; empty without selectors.

        Args:
            fields: each with its CRLF.
            body: in pieces, lines ended by CRLF.
            at: when it was signed, as the mail's Date; what is the same is signed the same.
            is_relaxed: the body is known to be in relaxed form.
        """
        if not selectors:
            return b""
        pieces = body if is_relaxed else (relax_body(b"".join(body)),)
        digest = sha256()
        for piece in pieces:
            digest.update(piece)
        # From the last field up, which is how several of a name are counted (RFC 6376 §5.4.2).
        relaxed = [relax_field(field) for field in reversed(fields)]
        signed = [field for field in relaxed if field.partition(b":")[0] in _SIGNED]
        names = _write_names(tuple(field.partition(b":")[0] for field in signed))
        data = b"".join(signed)
        return b"".join(
            _sign_with(self._keys[selector], data, names, digest.digest(), at)
            for selector in selectors
        )


def relax_field(field: bytes) -> bytes:
    """A header field in relaxed form, with its CRLF (RFC 6376 §3.4.2)."""
    name, _, value = field.partition(b":")
    return b"%b:%b\r\n" % (name.rstrip(b" \t").lower(), _BLANKS.sub(b" ", value).strip(b" "))


def relax_body(body: bytes) -> bytes:
    """A body, every line of which ends in CRLF, in relaxed form (RFC 6376 §3.4.4)."""
    text = re.sub(rb"[ \t]+", b" ", body).replace(b" \r\n", b"\r\n").rstrip(b"\r\n")
    return text + b"\r\n" if text else b""


def _sign_with(key: DkimKey, signed: bytes, names: bytes, body_hash: bytes, at: datetime) -> bytes:
    field = (
        b"DKIM-Signature: v=1; a=%b; c=relaxed/relaxed;\r\n d=%b;\r\n s=%b; t=%d;\r\n"
        b" h=%b;\r\n bh=%b;\r\n b="
        % (
            key.algorithm.encode(),
            key.domain.encode(),
            key.selector.encode(),
            int(at.timestamp()),
            names,
            b64encode(body_hash),
        )
    )
    # The field itself is signed last, without its signature and its CRLF (RFC 6376 §3.7).
    signature = b64encode(key.sign(signed + relax_field(field)[:-2]))
    step = _LINE - len(" b=")
    lines = [signature[start : start + step] for start in range(0, len(signature), step)]
    return field + b"\r\n ".join(lines) + b"\r\n"


@lru_cache(maxsize=32)
def _write_names(names: tuple[bytes, ...]) -> bytes:
    """The h= of a signature, folded between names."""
    lines = [b""]
    for name in (*names, *_OVERSIGNED):
        if len(lines[-1]) + len(name) + 1 > _LINE - len(" h="):
            lines.append(b"")
        lines[-1] += name + b":"
    return b"\r\n ".join(lines)[:-1]
