"""Renders one mailing of a campaign into the mail that everybody gets, with tags for each reader's own tokens."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from newsletter.campaigns.markdown import to_words
from newsletter.campaigns.model import Campaign, Mailing, Picture
from newsletter.errors import Fault, TemplateFault
from newsletter.languages import direction_of, spell_month
from newsletter.rendering import mjml
from newsletter.rendering.blocks import PictureView, make_block
from newsletter.rendering.brand import Brand
from newsletter.rendering.lint import check_mjml, remove_marks
from newsletter.rendering.model import LinkTag, MailPicture, RenderedEmail
from newsletter.rendering.pictures import prepare_picture
from newsletter.rendering.templates import FOLDER, render
from newsletter.settings import Clinic

LAYOUT = "layouts/letter"
LOGO_WIDTH = 200


def render_email(
    campaign: Campaign,
    mailing: Mailing,
    *,
    clinic: Clinic,
    brand: Brand,
    workspace: Path,
    base_url: str,
    pictures_at: str | None = None,
) -> RenderedEmail:
    """One mailing as HTML and text; the same arguments and files give the same bytes.

    `base_url` is where the links of the footer begin. `pictures_at` is where pictures are found, by default
    `base_url`/media; a mail written to a folder names the folder instead.
    Raises TemplateFault when a template cannot be rendered or breaks a rule of the lint, DefinitionFaults when a
    picture cannot be decoded.
    """
    pictures = _Pictures(pictures_at or f"{base_url}/media")
    language, direction = campaign.language, direction_of(campaign.language)
    blocks = tuple(make_block(item, language, pictures.show) for item in mailing.items)
    preheader = mailing.preheader or _lead(mailing, blocks[0].title)
    context = {
        "language": language,
        "direction": direction,
        "subject": mailing.subject,
        "preheader": preheader,
        "theme": campaign.theme,
        "month": spell_month(campaign.year, campaign.month, language),
        "opening": mailing.opening,
        "blocks": blocks,
        "clinic": clinic,
        "brand": brand,
        "light": brand.colours.light,
        "dark": brand.colours.dark,
        "logo": pictures.show(brand.logo, LOGO_WIDTH, False),
        "unsubscribe": LinkTag.UNSUBSCRIBE.link(base_url),
        "preferences": LinkTag.PREFERENCES.link(base_url),
        "archive_url": f"{base_url}/archive/{archive_slug(campaign, mailing)}" if campaign.in_archive else None,
    }
    folder = workspace / FOLDER
    marked = render(folder, f"{LAYOUT}.mjml.j2", context, language=language)
    if faults := check_mjml(marked):
        raise TemplateFault([replace(f, file=f"{FOLDER}/{f.file or f'{LAYOUT}.mjml.j2'}") for f in faults])
    text = render(folder, f"{LAYOUT}.txt.j2", context, language=language)
    return RenderedEmail(
        subject=mailing.subject,
        preheader=preheader,
        html=mjml.to_html(marked, language=language, direction=direction),
        text=re.sub(r"\n{3,}", "\n\n", text.strip()) + "\n",
        mjml=remove_marks(marked),
        pictures=pictures.used,
    )


def archive_slug(campaign: Campaign, mailing: Mailing) -> str:
    """The name of a mailing's page in the archive: `2026-11-opening`."""
    return f"{campaign.year}-{campaign.month:02d}-{mailing.name}"


def _lead(mailing: Mailing, title: str) -> str:
    # Inboxes show something after the subject in any case; better the first sentence than a stray address.
    words = " ".join(to_words(mailing.opening).split()) if mailing.opening else title
    return words if len(words) <= 90 else words[:90].rsplit(" ", 1)[0] + " …"


class _Pictures:
    """Prepares the pictures of one mail and remembers which were used."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.used: dict[str, MailPicture] = {}

    def show(self, picture: Picture | None, width: int, badge: bool) -> PictureView | None:
        if picture is None:
            return None
        try:
            prepared = prepare_picture(picture, width=width, play_badge=badge)
        except ValueError as error:
            problem, _, remedy = str(error).partition(" | ")
            raise TemplateFault([Fault(picture.name, 0, "", problem, remedy)]) from None
        self.used[prepared.name] = prepared
        shown = min(width, prepared.width)
        height = round(prepared.height * shown / prepared.width)
        return PictureView(f"{self.at}/{prepared.name}", picture.alt, shown, height, picture.credit)
