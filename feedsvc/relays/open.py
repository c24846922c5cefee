"""Which relay a configuration means."""

from pathlib import Path

from feedsvc.config_relays import EmlFolderRelaySettings, RelaySettings
from feedsvc.model.relay import Relay
from feedsvc.relays.eml_folder import EmlFolderRelay
from feedsvc.relays.smtp import SmtpRelay


def open_relay(settings: RelaySettings, base: Path, name: str) -> Relay:
    """The relay of these settings; nothing is connected yet. Relative paths are below `base`."""
    if isinstance(settings, EmlFolderRelaySettings):
        folder = base / settings.path
        return EmlFolderRelay(folder, connections=settings.connections, name=name)
    return SmtpRelay(settings, name=name)
