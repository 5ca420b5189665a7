"""The inbox of the local mailbox: every mail as its reader would see it, as HTML, as text, and as it was sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from newsletter.clock import in_clinic_time
from newsletter.errors import NotFound
from newsletter.providers.mailbox import KeptMail, list_mails, read_mail
from newsletter.site import PRIVATE, letter_response, site_of
from newsletter.studio.pages import PAGES, POLICY

LISTED = 200
"""Mails in the list; each page shows all of it."""

VIEWS = {
    "phone": "On a phone",
    "desktop": "On a computer",
    "dark": "In dark mode",
    "text": "As text",
    "source": "As sent",
}


def home(request: Request) -> Response:
    """The studio opens with the inbox."""
    return RedirectResponse("/studio/inbox", 303)


def show(request: Request) -> Response:
    """The list of mails, and the chosen one beside it; when none is named, the newest that has more than text."""
    site = site_of(request)
    folder = site.settings.mailbox
    kept = list_mails(folder, LISTED + 1)
    more, kept = len(kept) > LISTED, kept[:LISTED]
    name = request.path_params.get("name") or _first_to_show(folder, kept)
    view = request.query_params.get("view", "desktop")
    try:
        mail = read_mail(folder, name) if name else None
    except NotFound as error:
        return PAGES.show(site, "missing.html", {"problem": str(error)}, status=404, headers=PRIVATE, policy=POLICY)
    zone = site.settings.clinic.zone

    def when(item: KeptMail) -> str:
        return in_clinic_time(item.date, zone) if item.date else ""

    values = {
        "mails": kept,
        "more": more,
        "mail": mail,
        "view": view if view in VIEWS else "desktop",
        "views": VIEWS,
        "when": when,
    }
    return PAGES.show(site, "inbox.html", values, headers=PRIVATE, policy=POLICY)


def _first_to_show(folder: Path, kept: Sequence[KeptMail]) -> str | None:
    # Whoever opens the inbox wants to see the letter, and the few who read text alone often come last in a send.
    newest = [mail.name for mail in kept[:20]]
    return next((name for name in newest if read_mail(folder, name).html), newest[0] if newest else None)


def show_html(request: Request) -> Response:
    """The HTML part alone, for the frame: links open beside the studio, and nothing in it can run."""
    site = site_of(request)
    try:
        mail = read_mail(site.settings.mailbox, request.path_params["name"])
    except NotFound as error:
        return PAGES.show(site, "missing.html", {"problem": str(error)}, status=404, headers=PRIVATE, policy=POLICY)
    # Shown here only: links open beside the studio, and pictures come from it, wherever the mail's own address leads.
    html = (mail.html or "").replace("<head>", '<head><base target="_blank">', 1)
    return letter_response(html.replace(f"{site.settings.machine.base_url}/media/", "/media/"), PRIVATE)


def download(request: Request) -> Response:
    """The mail as a file that a mail program opens."""
    site = site_of(request)
    try:
        mail = read_mail(site.settings.mailbox, request.path_params["name"])
    except NotFound as error:
        return PAGES.show(site, "missing.html", {"problem": str(error)}, status=404, headers=PRIVATE, policy=POLICY)
    return Response(
        mail.content,
        media_type="message/rfc822",
        headers={**PRIVATE, "Content-Disposition": f'attachment; filename="{mail.kept.name}.eml"'},
    )
