"""The embedded hub's address: takes requests to be told of changes (WebSub §5.1).

It answers before anybody is asked whether the request was meant; that is not to be seen in the
answer, and is done from the rows. Answers are sentences for those who write subscribers.
"""

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import PlainTextResponse, Response

from feedsvc.errors import HubRequestRefused
from feedsvc.feeds.hub.intake import take_request
from feedsvc.feeds.hub.requests import PublishRequest, read_request
from feedsvc.feeds.hub.topics import Topics
from feedsvc.kit.fetch.guard import Guard
from feedsvc.web.services import WebServices, services_of

router = APIRouter()

_FORM = "application/x-www-form-urlencoded"
#: How long those who are refused for now are asked to wait, in seconds.
_RETRY_AFTER = "1800"


@router.post("/hub")
async def take_hub_request(request: Request) -> Response:
    """202 where a subscription is going to be verified, 204 for a publisher's note, or why not."""
    services = services_of(request)
    if not services.settings.websub.embedded:
        raise HTTPException(404)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        return _answer(415, f"send the parameters as {_FORM}")
    try:
        return await _take(services, await request.body())
    except HubRequestRefused as error:
        response = _answer(error.status, str(error))
        if not error.permanent:
            response.headers["Retry-After"] = _RETRY_AFTER
        return response


async def _take(services: WebServices, body: bytes) -> Response:
    settings = services.settings
    topics = Topics.of(settings.base_url, settings.feeds)
    asked = read_request(body, Guard(settings.websub.private_hosts), settings.base_url)
    if isinstance(asked, PublishRequest):
        # Ours are distributed when they change; whoever says so moves nothing.
        if any(topics.read_url(topic) is None for topic in asked.topics):
            return _answer(400, "hub.url is not the address of a feed of this site")
        return Response(status_code=204)
    async with services.database.write() as session:
        await take_request(session, asked, topics, settings.websub, services.clock())
    return _answer(202, "the callback will be asked to confirm this")


def _answer(status: int, sentence: str) -> Response:
    return PlainTextResponse(f"{sentence}\n", status)
