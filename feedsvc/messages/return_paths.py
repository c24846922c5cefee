"""Return paths: where a mail that could not be delivered comes back to (RFC 5321 §4.4)."""

import re

from feedsvc.config_sending import TOKEN, ReturnSettings
from feedsvc.errors import ConfigError, MessageUnbuildable
from feedsvc.kit.return_tokens import MAX_CHARACTERS
from feedsvc.kit.tokens import Keyring
from feedsvc.messages.headers import wire_address

#: Local parts that a tag can be added to, and that leave room for one: a local part has at most 64
#: octets (RFC 5321 §4.5.3.1.1).
_TAGGABLE = re.compile(rf"[A-Za-z0-9!#$%&'*/=?^_`{{|}}~.+-]{{1,{64 - MAX_CHARACTERS - 1}}}")


class ReturnPaths:
    """Each mail's own address for what comes back of it, or the one that is configured.

    Raises:
        ConfigError: the configured address cannot be written.
    """

    def __init__(self, settings: ReturnSettings, keyring: Keyring) -> None:
        self._keyring = keyring
        self._pattern: str | None = None
        if settings.address is not None:
            # The domain as A-labels; a token has no characters of its own to be changed.
            local, _, domain = settings.address.rpartition("@")
            try:
                written = wire_address(f"{local.replace(TOKEN, '')}x@{domain}")
            except MessageUnbuildable as error:
                raise ConfigError(f"returns.address: {error}") from error
            self._pattern = f"{local}@{written.rpartition('@')[2]}"

    def path(self, sender: str, delivery_id: int) -> str:
        """The return path of one delivery's mail.

        Args:
            sender: address in the mail's From, as on the wire. Without a configured address it
                gets `+token` before its @, unless its local part has no room for that.
        """
        if self._pattern is not None:
            if TOKEN not in self._pattern:
                return self._pattern
            return self._pattern.replace(TOKEN, self._keyring.sign_return(delivery_id))
        local, _, domain = sender.rpartition("@")
        if not _TAGGABLE.fullmatch(local):
            return sender
        return f"{local}+{self._keyring.sign_return(delivery_id)}@{domain}"
