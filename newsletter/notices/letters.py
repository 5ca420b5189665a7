"""A notice as a mail, from `templates/notices/`: plain text by its kind, and the same in the clinic's colours.

The first line of the text is the subject. A workspace without that folder gets the texts of a fresh one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from newsletter.rendering.brand import Brand
from newsletter.staff.model import WantedNotice
from newsletter.workspace import starter_folder

FOLDER = "templates/notices"


@dataclass(frozen=True)
class Letter:
    """A notice as staff read it."""

    subject: str
    text: str
    html: str


def write_letter(notice: WantedNotice, *, workspace: Path, brand: Brand, clinic: str) -> Letter:
    """The mail about a notice; raises jinja2.TemplateError when a template is broken, ValueError when it is empty."""
    templates = ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([FileSystemLoader(workspace / FOLDER), FileSystemLoader(starter_folder() / FOLDER)]),
        autoescape=lambda name: bool(name and name.endswith(".html.j2")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    values = {"edition": notice.edition, "reason": notice.reason.rstrip("."), "attempts": notice.attempts}
    name = f"{notice.kind.value.replace(' ', '-')}.txt.j2"
    text = templates.get_template(name).render(values, clinic=clinic).strip()
    subject, _, body = text.partition("\n")
    if not subject or not body.strip():
        raise ValueError(f"{FOLDER}/{name} needs a first line for the subject, and a text.")
    paragraphs = [paragraph.strip("\n") for paragraph in body.strip().split("\n\n")]
    html = templates.get_template("layout.html.j2").render(
        subject=subject, paragraphs=paragraphs, clinic=clinic, colours=brand.colours.light, fonts=brand.fonts
    )
    return Letter(subject, body.strip() + "\n", html)
