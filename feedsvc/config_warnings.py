"""What is allowed and yet most likely not meant, as `file:line: key: what to look at`."""

from collections.abc import Iterator
from importlib.util import find_spec
from urllib.parse import urlsplit

from feedsvc.config_feeds import PODCAST_CATEGORIES
from feedsvc.config_file import LoadedSettings
from feedsvc.config_values import LOOPBACK_HOSTS


def find_mismatches(loaded: LoadedSettings) -> list[str]:
    """Settings that do not go together."""
    return [*_find_port(loaded), *_find_podcasts(loaded)]


def _find_podcasts(loaded: LoadedSettings) -> Iterator[str]:
    """What podcast directories refuse."""
    for key, feed in loaded.settings.feeds.items():
        if feed.podcast is None:
            continue
        if feed.image is None:
            text = "a podcast without `image` is not taken up by directories"
            yield _place(loaded, f"feeds.{key}.podcast", text)
        for category in feed.podcast.categories:
            if category.partition(">")[0].strip() not in PODCAST_CATEGORIES:
                text = f"{category!r} is none of Apple's categories, such as News or Arts > Books"
                yield _place(loaded, f"feeds.{key}.podcast.categories", text)


def _find_port(loaded: LoadedSettings) -> list[str]:
    settings = loaded.settings
    base, port = urlsplit(settings.base_url), settings.server.port
    named = base.port or (443 if base.scheme == "https" else 80)
    if base.hostname not in LOOPBACK_HOSTS or port in (0, named):
        return []
    text = f"links in mails and feeds lead to port {named}, and the server listens on {port}"
    return [_place(loaded, "base_url", text)]


def find_missing(loaded: LoadedSettings) -> list[str]:
    """What the machine lacks: folders of sources, and packages for them."""
    return [_place(loaded, key, text) for key, text in _look(loaded)]


def _place(loaded: LoadedSettings, key: str, text: str) -> str:
    return f"{loaded.path.name}:{loaded.line_of(key)}: {key}: {text}"


def _look(loaded: LoadedSettings) -> Iterator[tuple[str, str]]:
    for key, source in loaded.settings.sources.items():
        path = loaded.base / source.path
        if not path.exists():
            yield f"sources.{key}.path", f"there is no {path} yet"
        if source.type == "page" and find_spec("trafilatura") is None:
            yield (
                f"sources.{key}.type",
                "HTML pages need the extra `pages`: pip install -c requirements.lock '.[pages]'"
                " in the folder feedsvc was installed from",
            )
