"""Writes a mailing to a folder, so that people can look at it: html, txt, mjml, eml, pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from newsletter.campaigns.model import Campaign, Mailing
from newsletter.errors import Refused
from newsletter.mail import Mailbox, OutgoingEmail, leaving_by_mail, list_id, one_click_headers, to_wire
from newsletter.rendering.email import archive_slug
from newsletter.rendering.model import LinkTag, RenderedEmail
from newsletter.settings import Settings
from newsletter.wiring import render_mailing

SAMPLE_TOKEN = "sample"  # noqa: S105 - it opens nothing: a rendered file belongs to no reader


def write_mailings(settings: Settings, campaign: Campaign, mailings: Iterable[Mailing], output: Path) -> list[Path]:
    """Write mailings into `output` and return the paths of their main files.

    The html file shows its pictures from the folder beside it; the eml file is what a reader would get, its pictures
    at BASE_URL. The same files and settings give the same bytes. Raises Refused when the folder cannot be written;
    nothing is written before every mailing was rendered.
    """
    files = {name: content for m in mailings for name, content in _files_of(settings, campaign, m).items()}
    try:
        for name, content in files.items():
            path = output / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except (FileExistsError, NotADirectoryError) as error:
        raise Refused(f"{error.filename} is not a folder. Choose another one.") from None
    except OSError as error:
        raise Refused(f"{error.filename} cannot be written ({error.strerror}). Choose another folder.") from None
    return [output / name for name in files if "/" not in name]


def _files_of(settings: Settings, campaign: Campaign, mailing: Mailing) -> dict[str, bytes]:
    slug = archive_slug(campaign, mailing)
    beside = render_mailing(settings, campaign, mailing, pictures_at=f"{slug}-pictures")
    sent = render_mailing(settings, campaign, mailing)
    return {
        f"{slug}.html": fill_links(beside).html.encode(),
        f"{slug}.txt": fill_links(sent).text.encode(),
        f"{slug}.mjml": beside.mjml.encode(),
        f"{slug}.eml": _as_eml(settings, mailing, slug, fill_links(sent)),
        **{f"{slug}-pictures/{name}": picture.content for name, picture in beside.pictures.items()},
    }


def fill_links(mail: RenderedEmail) -> RenderedEmail:
    """The mail with a sample token in its links, for looking at only."""
    html, text = mail.html, mail.text
    for tag in LinkTag:
        html, text = html.replace(tag.value, SAMPLE_TOKEN), text.replace(tag.value, SAMPLE_TOKEN)
    return RenderedEmail(mail.subject, mail.preheader, html, text, mail.mjml, mail.pictures)


def _as_eml(settings: Settings, mailing: Mailing, slug: str, mail: RenderedEmail) -> bytes:
    sender = settings.sender
    email = OutgoingEmail(
        sender=Mailbox(sender.address, sender.name),
        recipient=Mailbox("reader@example.org"),
        reply_to=Mailbox(sender.reply_to),
        subject=mail.subject,
        text=mail.text,
        html=mail.html,
        headers={
            **one_click_headers(
                f"{settings.machine.base_url}/unsubscribe/{SAMPLE_TOKEN}",
                leaving_by_mail(inbound) + SAMPLE_TOKEN if (inbound := settings.machine.inbound_address) else "",
            ),
            "List-Id": list_id(Mailbox(sender.address)),
        },
    )
    return to_wire(email, date=mailing.send_at, message_id=f"{slug}@{sender.address.rpartition('@')[2]}")
