"""Freezes a rendered mailing with the settings that go out with it; pure, nothing is stored here."""

from __future__ import annotations

from newsletter.campaigns.model import Campaign, Mailing
from newsletter.editions.model import Content, Snapshot
from newsletter.mail import Mailbox
from newsletter.rendering.model import RenderedEmail
from newsletter.settings import Settings


def freeze_edition(rendered: RenderedEmail, campaign: Campaign, mailing: Mailing, settings: Settings) -> Snapshot:
    """Everything that an edition is, as one value; the same arguments give the same content hash."""
    content = Content(
        sender=Mailbox(settings.sender.address, settings.sender.name),
        reply_to=settings.sender.reply_to,
        subject=rendered.subject,
        preheader=rendered.preheader,
        html=rendered.html,
        text=rendered.text,
        language=campaign.language,
        audience=campaign.audience,
        base_url=settings.machine.base_url,
        pictures={picture.name: picture.sha256 for picture in rendered.pictures.values()},
    )
    return Snapshot(
        campaign=campaign.id,
        month=f"{campaign.year:04}-{campaign.month:02}",
        mailing=mailing.name,
        send_at=mailing.send_at,
        content=content,
        pictures=tuple(rendered.pictures[name] for name in sorted(rendered.pictures)),
        theme=campaign.theme,
        in_archive=campaign.in_archive,
    )
