"""The pages of the public site: in which language they are, and how an address is shown to whoever holds a mail."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from newsletter.languages import SpokenLanguage, find_language, negotiate, speak, spoken_languages
from newsletter.settings import Settings
from newsletter.site import STRICT, Pages, site_of

_PAGES = Pages(Path(__file__).parent / "templates")
_CHOICE = "lang"
# XML 1.0, 2.2: characters that no document may have, however they are written.
_NOT_IN_XML = re.compile("[^\\t\\n\\r\\x20-\\uD7FF\\uE000-\\uFFFD\\U00010000-\\U0010FFFF]")


def show_page(
    request: Request,
    name: str,
    values: Mapping[str, Any] | None = None,
    *,
    reads: str | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    policy: str = STRICT,
) -> HTMLResponse:
    """A page in the language that `?lang=` chooses, else in the one that its reader reads, else as the browser wishes.

    `reads` is the language of the person whom the page belongs to, None where it belongs to nobody. A template has
    `language`, and `to(path)` for a link to another public page, which keeps the language that was chosen.
    """
    chosen = _chosen_language(request)
    given = {
        # What answers a POST has no address of its own at which to be read in another language.
        "languages": spoken_languages().values() if request.method in ("GET", "HEAD") else (),
        "language_link": lambda other: f"?{urlencode({_CHOICE: other.code})}",
        "to": lambda path: f"{path}?{urlencode({_CHOICE: chosen.code})}" if chosen else path,
    }
    negotiated = {} if chosen or reads is not None else {"Vary": "Accept-Language"}
    return _PAGES.show(
        site_of(request),
        name,
        {**given, **(values or {})},
        language=language_of(request, reads),
        status=status,
        headers={**negotiated, **(headers or {})},
        policy=policy,
    )


def show_file(request: Request, name: str, values: Mapping[str, Any], *, media_type: str) -> Response:
    """What programs read, as XML with whole addresses, in the clinic's own language."""
    site = site_of(request)
    given = {"base_url": site.settings.machine.base_url}
    text = _PAGES.render(site.settings, name, {**given, **values}, language=speak(site.settings.clinic.language))
    return Response(_NOT_IN_XML.sub("", text), media_type=media_type)


def write_part(settings: Settings, name: str, values: Mapping[str, Any], *, language: SpokenLanguage) -> str:
    """A template that is no page of its own, as HTML in a language."""
    return _PAGES.render(settings, name, values, language=language)


def language_of(request: Request, reads: str | None = None) -> SpokenLanguage:
    """The language of a page: chosen by `?lang=`, else that of the person whom it belongs to, else as is asked for."""
    if chosen := _chosen_language(request):
        return chosen
    if reads is not None:
        return speak(reads)
    wished = negotiate(request.headers.get("accept-language", ""))
    return wished or speak(site_of(request).settings.clinic.language)


def mask(address: str) -> str:
    """An address that its owner recognises and nobody else can use: `a•••@e•••.org`."""
    local, _, domain = address.rpartition("@")
    name, _, ending = domain.rpartition(".")
    return f"{local[:1]}•••@{name[:1]}•••.{ending}"


def _chosen_language(request: Request) -> SpokenLanguage | None:
    return find_language(request.query_params.get(_CHOICE, ""))
