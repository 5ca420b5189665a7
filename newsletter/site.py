"""What every web page needs, as one value, and the headers that every answer carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import Scope

from newsletter.clock import Clock, SystemClock
from newsletter.database.session import Database
from newsletter.languages import SpokenLanguage, speak
from newsletter.providers.sendgrid.signature import PublicKey, read_public_key
from newsletter.rendering.brand import Brand, read_brand
from newsletter.settings import Settings
from newsletter.subscribers.offer import Offer, read_offer
from newsletter.subscribers.tokens import Tokens
from newsletter.wiring import make_tokens, suppression_key

STRICT = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
LETTER = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; "
    "frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)
"""The policy of a shown letter: its inline styles and its pictures, and nothing that runs."""

PRIVATE = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow"}
"""Headers of a page that belongs to one person."""


@dataclass(frozen=True)
class Site:
    """The parts that pages use; made once at the start."""

    settings: Settings
    database: Database
    tokens: Tokens
    clock: Clock
    brand: Brand
    patience: float = 15.0
    """Seconds after which nobody who leaves is tried again; one try waits 10 s for a database that is held, and
    mailbox providers wait 30 s."""
    webhook_key: PublicKey | None = None
    """Verifies what SendGrid posts; without it nothing is taken."""
    inbound_key: PublicKey | None = None
    """Verifies the mails that SendGrid posts; without it only a signed token in a mail counts."""
    offer: Offer = field(default_factory=Offer)
    """What readers can sign up for."""
    even_answer: float = 0.25
    """Seconds that the answer to a sign-up takes at least, so that it does not tell what an address is here."""

    @property
    def suppression_key(self) -> str:
        """The key that hashes addresses; raises Refused when it is not set."""
        return suppression_key(self.settings)


def make_site(settings: Settings, database: Database) -> Site:
    """The parts for the pages of a workspace, its files read once.

    Raises Refused without a SECRET_KEY or for a bad webhook key, DefinitionFaults for files that are wrong.
    """
    public_key = settings.machine.sendgrid_webhook_public_key
    inbound_key = settings.machine.sendgrid_inbound_public_key
    return Site(
        settings,
        database,
        make_tokens(settings),
        SystemClock(),
        read_brand(settings.workspace),
        webhook_key=read_public_key(public_key) if public_key else None,
        inbound_key=read_public_key(inbound_key, "SENDGRID_INBOUND_PUBLIC_KEY") if inbound_key else None,
        offer=read_offer(settings.workspace, language=settings.clinic.language),
    )


class Pages:
    """The HTML pages of one folder of templates, escaped, strict about missing names, translated as they are shown."""

    def __init__(self, folder: Path) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.policies["ext.i18n.trimmed"] = True
        self._templates.install_gettext_callables(_gettext, _ngettext, newstyle=True)  # type: ignore[attr-defined]

    def show(
        self,
        site: Site,
        name: str,
        values: Mapping[str, Any],
        *,
        language: SpokenLanguage | None = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        policy: str = STRICT,
    ) -> HTMLResponse:
        """A page with its values, in English and under the strict content policy unless others are given."""
        language = language or speak("en")
        html = self.render(site.settings, name, values, language=language)
        about = {"Content-Security-Policy": policy, "Content-Language": language.code}
        return HTMLResponse(html, status, {**about, **(headers or {})})

    def render(self, settings: Settings, name: str, values: Mapping[str, Any], *, language: SpokenLanguage) -> str:
        """A template with its values, in a language."""
        return self._templates.get_template(name).render(
            clinic=settings.clinic, sender=settings.sender, language=language, **values
        )


@pass_context
def _gettext(context: Context, message: str) -> str:
    language: SpokenLanguage = context["language"]
    return language.translations.gettext(message)


@pass_context
def _ngettext(context: Context, one: str, many: str, number: int) -> str:
    language: SpokenLanguage = context["language"]
    return language.translations.ngettext(one, many, number)


def site_of(request: Request) -> Site:
    """The parts of the running site."""
    site: Site = request.app.state.site
    return site


def letter_response(html: str, headers: Mapping[str, str] | None = None) -> HTMLResponse:
    """A rendered letter as a page of its own: styled and illustrated as in the mail, unable to run anything."""
    return HTMLResponse(html, headers={"Content-Security-Policy": LETTER, **(headers or {})})


def is_local_peer(scope: Scope) -> bool:
    """Whether a request comes from this machine, and not through a proxy on it."""
    peer = (scope.get("client") or ("", 0))[0]
    # A proxy on this machine speaks for somebody else.
    forwarded = any(name.startswith(b"x-forwarded") or name == b"forwarded" for name, _ in scope["headers"])
    try:
        return ip_address(peer).is_loopback and not forwarded
    except ValueError:
        return False
