"""The pages of the public site: in which language they are, and how an address is shown to whoever holds a mail."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse

from newsletter.languages import SpokenLanguage, find_language, negotiate, speak, spoken_languages
from newsletter.site import STRICT, Pages, site_of

_PAGES = Pages(Path(__file__).parent / "templates")
_CHOICE = "lang"


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
    site = site_of(request)
    chosen = _chosen_language(request)
    negotiated = chosen is None and reads is None
    language = chosen or _language_for(request, reads)
    given = {
        # What answers a POST has no address of its own at which to be read in another language.
        "languages": spoken_languages().values() if request.method in ("GET", "HEAD") else (),
        "language_link": lambda other: f"?{urlencode({_CHOICE: other.code})}",
        "to": lambda path: f"{path}?{urlencode({_CHOICE: chosen.code})}" if chosen else path,
    }
    about = {"Vary": "Accept-Language"} if negotiated else {}
    return _PAGES.show(
        site,
        name,
        {**given, **(values or {})},
        language=language,
        status=status,
        headers={**about, **(headers or {})},
        policy=policy,
    )


def language_of(request: Request) -> SpokenLanguage:
    """The language of a page that belongs to nobody: chosen by `?lang=`, else as the browser wishes."""
    return _chosen_language(request) or _language_for(request, None)


def mask(address: str) -> str:
    """An address that its owner recognises and nobody else can use: `a•••@e•••.org`."""
    local, _, domain = address.rpartition("@")
    name, _, ending = domain.rpartition(".")
    return f"{local[:1]}•••@{name[:1]}•••.{ending}"


def _chosen_language(request: Request) -> SpokenLanguage | None:
    return find_language(request.query_params.get(_CHOICE, ""))


def _language_for(request: Request, reads: str | None) -> SpokenLanguage:
    if reads is not None:
        return speak(reads)
    wished = negotiate(request.headers.get("accept-language", ""))
    return wished or speak(site_of(request).settings.clinic.language)
