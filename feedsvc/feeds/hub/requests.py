"""What subscribers ask the hub for (WebSub §5.1). Pure: reads a form and says what is wrong."""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl

from feedsvc.errors import FetchRefused, HubRequestRefused
from feedsvc.kit.fetch.guard import Guard, Target, read_url

#: Everything that a request may have.
MAX_BODY_BYTES = 8 * 1024
_MAX_FIELDS = 100
_MAX_CALLBACK = 2000
_MAX_TOPIC = 2000
#: WebSub §5.1: "less than 200 bytes in length".
_MAX_SECRET_BYTES = 199
#: Shortest lease, in seconds: who wants a shorter one can unsubscribe.
MIN_LEASE = 600


class HubMode(StrEnum):
    """What is asked for."""

    #: Be told of changes.
    SUBSCRIBE = "subscribe"
    #: Be told no more.
    UNSUBSCRIBE = "unsubscribe"
    #: From publishers: a topic has changed. Ours are known here before anybody can say so.
    PUBLISH = "publish"


@dataclass(frozen=True, slots=True)
class SubscriptionRequest:
    """A request to subscribe or unsubscribe; `topic` is an address that has yet to be judged."""

    mode: HubMode
    topic: str
    #: Exactly as it was given: that is what is called, with its query.
    callback: str
    #: Its host, as it is counted.
    callback_host: str
    #: As asked for; None where no wish was told.
    lease_seconds: int | None = None
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """Says that topics have changed."""

    topics: tuple[str, ...]


def read_request(body: bytes, guard: Guard, base_url: str) -> SubscriptionRequest | PublishRequest:
    """Read a form; parameters that are not known are ignored.

    Args:
        body: application/x-www-form-urlencoded, in UTF-8.
        guard: says which callbacks may be asked.
        base_url: our own address, which is nobody's callback.

    Raises:
        HubRequestRefused: 400, or 413 for a body that is too large.
    """
    fields = _read_fields(body)
    mode = _one(fields, "hub.mode")
    if mode == HubMode.PUBLISH:
        topics = (*fields.get("hub.topic", ()), *fields.get("hub.url", ()))
        if not any(topics):
            raise HubRequestRefused(400, "hub.url is missing")
        return PublishRequest(tuple(topic for topic in topics if topic))
    if mode not in (HubMode.SUBSCRIBE, HubMode.UNSUBSCRIBE):
        raise HubRequestRefused(400, "hub.mode is subscribe, unsubscribe or publish")
    topic, callback = _one(fields, "hub.topic"), _one(fields, "hub.callback")
    if not topic:
        raise HubRequestRefused(400, "hub.topic is missing")
    if len(topic) > _MAX_TOPIC:
        raise HubRequestRefused(400, "hub.topic is too long")
    return SubscriptionRequest(
        mode=HubMode(mode),
        topic=topic,
        callback=callback,
        callback_host=_read_callback(callback, guard, base_url).host,
        lease_seconds=_read_lease(_one(fields, "hub.lease_seconds")),
        secret=_read_secret(_one(fields, "hub.secret")),
    )


def grant_lease(asked_seconds: int | None, longest_days: float) -> int:
    """How many seconds a subscription lasts: as asked for, within bounds, and never for ever."""
    longest = int(longest_days * 86400)
    return longest if asked_seconds is None else min(max(asked_seconds, MIN_LEASE), longest)


def _read_fields(body: bytes) -> dict[str, list[str]]:
    if len(body) > MAX_BODY_BYTES:
        raise HubRequestRefused(413, f"a request has at most {MAX_BODY_BYTES} bytes")
    try:
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError as error:  # UnicodeError is one, too
        raise HubRequestRefused(400, "not a form in UTF-8") from error
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def _one(fields: dict[str, list[str]], name: str) -> str:
    values = fields.get(name, [""])
    if len(set(values)) > 1:
        raise HubRequestRefused(400, f"{name} is given twice")
    return values[0]


def _read_callback(callback: str, guard: Guard, base_url: str) -> Target:
    if not callback:
        raise HubRequestRefused(400, "hub.callback is missing")
    if len(callback) > _MAX_CALLBACK:
        raise HubRequestRefused(400, f"hub.callback has at most {_MAX_CALLBACK} characters")
    if "#" in callback:
        raise HubRequestRefused(400, "hub.callback: an address that is called has no #")
    try:
        target = guard.read(callback)
    except FetchRefused as error:
        raise HubRequestRefused(400, f"hub.callback: {error}") from error
    if _is_at(target, read_url(base_url)):
        raise HubRequestRefused(400, "hub.callback: that is this site itself")
    return target


def _is_at(target: Target, ours: Target) -> bool:
    # 80 and 443 of one host are one site.
    return target.host == ours.host and (
        target.port == ours.port or {target.port, ours.port} == {80, 443}
    )


def _read_lease(text: str) -> int | None:
    if not text:
        return None
    # QUIRK: before WebSub was one, 0 stood for "as long as you like".
    if not (text.isascii() and text.isdecimal() and len(text) <= 20):
        raise HubRequestRefused(400, "hub.lease_seconds is a number of seconds")
    return int(text) or None


def _read_secret(secret: str) -> str | None:
    if len(secret.encode()) > _MAX_SECRET_BYTES:
        raise HubRequestRefused(400, "hub.secret has less than 200 bytes")
    if "\0" in secret:
        raise HubRequestRefused(400, "hub.secret is text, without control characters")
    return secret or None
