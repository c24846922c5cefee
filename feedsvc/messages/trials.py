"""Test mails: as a subscriber would get them, but marked, and with links that act on nobody."""

from dataclasses import dataclass
from datetime import datetime

from feedsvc.config_sending import ReturnSettings
from feedsvc.kit.texts import Texts
from feedsvc.kit.tokens import Keyring
from feedsvc.messages.assemble import CohortMessage, Recipient, Rendered, message_id
from feedsvc.messages.dkim import Signers
from feedsvc.messages.headers import wire_address
from feedsvc.messages.render import RenderedMail
from feedsvc.messages.return_paths import ReturnPaths
from feedsvc.messages.splice import Slot
from feedsvc.model.edition import EditionKind
from feedsvc.model.newsletter import Newsletter
from feedsvc.model.relay import Envelope, Message

#: No delivery comes so far: what comes back of a test is nobody's.
_NO_DELIVERY = 2**60 - 1
_LINKS = (Slot.UNSUBSCRIBE_URL, Slot.PREFERENCES_URL, Slot.VIEW_URL)


@dataclass(frozen=True, slots=True)
class TrialMaker:
    """Makes messages that belong to no delivery, signed and returned like those that do."""

    keyring: Keyring
    signers: Signers
    returns: ReturnSettings
    base_url: str

    def make(
        self,
        mail: Rendered,
        newsletter: Newsletter,
        kind: EditionKind,
        address: str,
        *,
        language: str,
        date: datetime,
    ) -> Message:
        """One test mail.

        Args:
            address: as on the wire.
            language: of the mail's own words.

        Raises:
            ConfigError: the return address cannot be written.
            MessageUnbuildable: the mail asks for something that only a subscriber's has.
        """
        sender = wire_address(newsletter.from_address)
        domain = sender.rpartition("@")[2]
        home = f"{self.base_url}/"
        links = {slot.value: home for slot in _LINKS}
        identity = self.keyring.derive("message-id", "test", address, date.isoformat())
        draft = CohortMessage(
            _marked(mail, language), newsletter, domain, ("test", newsletter.key, kind)
        ).build(Recipient(address, values=links), date, message_id(identity, domain))
        selectors = self.signers.choose(domain, None)
        signatures = self.signers.sign(
            draft.fields, draft.body, selectors, date, is_relaxed=draft.is_relaxed
        )
        return_path = ReturnPaths(self.returns, self.keyring).path(sender, _NO_DELIVERY)
        return Message(
            Envelope(return_path, address, draft.is_wire_ready),
            draft.join(signatures),
            " ".join(selectors),
        )


def _marked(mail: Rendered, language: str) -> RenderedMail:
    """A mail whose subject says that it is a test."""
    subject = Texts(language).gettext("[Test] %(subject)s", subject=mail.subject)
    return RenderedMail(subject, mail.html, mail.text)
