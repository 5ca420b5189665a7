"""The sign-up form of a script on the clinic's own site: what it must show, and what it sends, as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from newsletter.database.session import DATABASE_AWAY
from newsletter.languages import for_readers
from newsletter.public.origins import cross_origin_headers
from newsletter.public.pages import language_of
from newsletter.public.posts import PostRefused, media_type_of
from newsletter.public.sign_up_form import Filled, Outcome, form_values, from_json
from newsletter.public.visitors import WINDOW
from newsletter.site import site_of
from newsletter.subscribers.sign_up import Answer

_JSON = "application/json"
_TOO_LONG = for_readers("This is more than the form can hold.")
_BUSY = for_readers("The newsletter is busy just now. Please try again in a minute.")
_CLOSED = for_readers("Nobody can sign up here at present")
_TOO_OFTEN = for_readers("That was a little too often")
_FULL = for_readers("Too many people sign up at present. Please try again in an hour.")
_TAKEN = for_readers("Please look into your inbox: if there is anything to confirm, we have sent you a mail.")


def wants_json(request: Request) -> bool:
    """Whether a script asks, by its Accept."""
    return _JSON in request.headers.get("accept", "")


def sends_json(request: Request) -> bool:
    """Whether a script posts, by the type of what it sends."""
    return media_type_of(request) == _JSON


def show_offer(request: Request, stamp: str) -> Response:
    """All that a form must show: words, topics, languages, and the text to agree to, whose hash it sends back."""
    offer, language = site_of(request).offer, language_of(request)
    if not offer.wordings:
        return _say(request, 404, _CLOSED)
    values = form_values(offer, language, Filled(), {})
    wording, notice = values["wording"], values["privacy_notice"]
    told = {
        "title": values["words"].title,
        "introduction": values["words"].introduction,
        "topics": [{"id": one.id, "title": one.title, "description": one.description} for one in values["topics"]],
        "languages": values["reading"],
        "wording": {"name": wording.name, "hash": wording.hash, "language": wording.language, "text": wording.text},
        "age_statement": values["words"].age_statement,
        "privacy_notice": notice.url if notice else "",
        "stamp": stamp,
    }
    return _answer(request, 200, told)


def too_many(request: Request) -> Response:
    """The answer to a network from which too much comes."""
    return _say(request, 429, _TOO_OFTEN, {"Retry-After": str(WINDOW * 60)})


def answer(request: Request, body: bytes | None, act: Callable[[Request, Filled], Outcome]) -> Response:
    """Have what was sent done, and tell what became of it."""
    try:
        if body is None:
            raise PostRefused(413, _TOO_LONG)
        outcome = act(request, from_json(body))
    except PostRefused as error:
        return _say(request, error.status, str(error))
    except DATABASE_AWAY:
        return _say(request, 503, _BUSY, {"Retry-After": "60"})
    if outcome.faults:
        speak = language_of(request).translate
        faults = {name: speak(fault) for name, fault in outcome.faults.items()}
        return _answer(request, 409 if "wording" in faults else 422, {"faults": faults})
    if outcome.answer is Answer.TOO_MANY:
        return _say(request, 503, _FULL, {"Retry-After": "3600"})
    return _say(request, 200, _TAKEN)


def _say(request: Request, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return _answer(request, status, {"message": language_of(request).translate(message)}, headers)


def _answer(
    request: Request, status: int, told: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    about = {"Cache-Control": "no-store", "Content-Language": language_of(request).code}
    return JSONResponse(told, status, {**about, **cross_origin_headers(request), **(headers or {})})
