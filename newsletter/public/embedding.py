"""The sign-up form for a page of the clinic's own site, to be pasted there."""

from __future__ import annotations

from newsletter.languages import SpokenLanguage
from newsletter.public.pages import write_part
from newsletter.public.sign_up_form import Filled, form_values
from newsletter.settings import Settings
from newsletter.subscribers.offer import Offer


def write_form(settings: Settings, offer: Offer, language: SpokenLanguage) -> str:
    """The form as HTML without styles or scripts; raises Refused when there is no text to agree to.

    It names that text by its hash: when the text is changed, whoever sends the old form is shown the new one, here.
    """
    values = {
        **form_values(offer, language, Filled(), {}),
        "action": f"{settings.machine.base_url}/subscribe?lang={language.code}",
    }
    lines = write_part(settings, "embedded_form.html", values, language=language).splitlines()
    return "\n".join(line for line in lines if line.strip()) + "\n"
