"""The sign-up form as it was filled in: read from a form or from JSON, and checked field by field."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from newsletter.errors import Refused
from newsletter.languages import SpokenLanguage, direction_of, for_readers, name_of
from newsletter.public.posts import Form, PostRefused
from newsletter.subscribers.address import AddressRefused, check_address
from newsletter.subscribers.model import Choices
from newsletter.subscribers.offer import Offer
from newsletter.subscribers.sign_up import Answer
from newsletter.subscribers.tokens import Bearer, LinkRefused, Purpose, Tokens

FILLED_IN_AT_LEAST = timedelta(seconds=2)
"""Nobody reads the text and ticks its box in less; programs do."""

HOLDS_FOR = timedelta(days=1)
"""For how long a page may lie open."""

_UNREADABLE = for_readers("This form cannot be read.")


@dataclass(frozen=True)
class Outcome:
    """What becomes of a form: the answer, or what is wrong with it by field, in words that pages show translated."""

    answer: Answer | None = None
    faults: dict[str, str] = field(default_factory=dict)


class Filled(BaseModel):
    """What somebody typed and ticked. `wording` is the hash of the text that they saw, `comments` a field that only
    programs see and fill in, `stamp` says when the form was shown."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    address: Annotated[str, Field(max_length=320)] = ""
    topics: Annotated[tuple[Annotated[str, Field(max_length=80)], ...], Field(max_length=100)] = ()
    language: Annotated[str, Field(max_length=35)] = ""
    text_only: bool = False
    consent: bool = False
    age: bool = False
    wording: Annotated[str, Field(max_length=64)] = ""
    stamp: Annotated[str, Field(max_length=100)] = ""
    comments: Annotated[str, Field(max_length=4_000)] = ""


def from_form(form: Form) -> Filled:
    """The fields of a posted form; raises PostRefused for a field that it does not have, or has once only."""
    texts = {name: values[0] for name, values in form.items() if name != "topics"}
    if any(len(values) > 1 for name, values in form.items() if name != "topics"):
        raise PostRefused(400, for_readers("A field of this form was sent twice."))
    ticked = {name: bool(texts.pop(name, "")) for name in ("text_only", "consent", "age")}
    try:
        return Filled.model_validate({**texts, **ticked, "topics": tuple(form.get("topics", ()))})
    except ValidationError:
        raise PostRefused(400, _UNREADABLE) from None


def from_json(body: bytes) -> Filled:
    """The fields of a form sent by a script; raises PostRefused."""
    try:
        return Filled.model_validate_json(body)
    except ValidationError:
        raise PostRefused(400, _UNREADABLE) from None


def find_faults(filled: Filled, offer: Offer, *, age_statement: str) -> dict[str, str]:
    """What is wrong, by field, in words that pages show translated; nothing when all is well."""
    faults = {
        "address": _fault_in_address(filled.address),
        "topics": for_readers("One of these topics is not offered any more. Please choose again.")
        if not offer.topics.keys() >= set(filled.topics)
        else "",
        "language": for_readers("Please choose one of these languages.")
        if filled.language not in offer.wordings
        else "",
        "wording": for_readers("What you agree to has been changed since you opened the page. Please read it again.")
        if offer.find_wording(filled.wording) is None
        else "",
        "consent": for_readers("Please tick the box if you agree.") if not filled.consent else "",
        "age": for_readers("Please tick this box if it is true.") if age_statement and not filled.age else "",
    }
    return {name: fault for name, fault in faults.items() if fault}


def choices_of(filled: Filled) -> Choices:
    """What was chosen in a form without faults."""
    return Choices(filled.language, filled.topics, filled.text_only)


def form_values(offer: Offer, language: SpokenLanguage, filled: Filled, faults: dict[str, str]) -> dict[str, Any]:
    """What the templates of the form have: the clinic's words in the language of the page, and what was filled in.

    Raises Refused when there is no text to agree to, and so nothing to sign up for.
    """
    wording = offer.wording(language.code)
    if wording is None:
        raise Refused("There is no wording of consent. Write one: subscribers/consent/0001.en.md")
    words_in = language.code if language.code in offer.page.translations else offer.language
    preferred = language.code if language.code in offer.wordings else wording.language
    return {
        "words": offer.page.words(language.code),
        "words_in": words_in,
        "words_direction": direction_of(words_in),
        "wording": wording,
        "wording_direction": direction_of(wording.language),
        "topics": [topic.words(language.code) for topic in offer.topics.values()],
        "reading": {code: name_of(code) for code in sorted(offer.wordings, key=lambda one: one != offer.language)},
        "privacy_notice": offer.page.privacy_notice,
        "filled": filled.model_copy(update={"language": filled.language or preferred}),
        "faults": faults,
    }


def make_stamp(tokens: Tokens, now: datetime) -> str:
    """Says when a form was shown, so that nobody else can say it: a token whose bearer is the second."""
    return tokens.sign(Purpose.FORM, Bearer(int(now.timestamp())))


def shown_at(tokens: Tokens, stamp: str, *, now: datetime) -> datetime | None:
    """When a form was shown; None for a stamp that is not ours."""
    try:
        second = tokens.read(Purpose.FORM, stamp, now=now).subscriber
    except LinkRefused:
        return None
    return datetime.fromtimestamp(second, UTC)


def _fault_in_address(typed: str) -> str:
    if not typed.strip():
        return for_readers("Please write your e-mail address.")
    if typed.count("@") > 1 or re.search(r"[,;]", typed):
        return for_readers("Please write one e-mail address only.")
    try:
        check_address(typed)
    except AddressRefused:
        return for_readers("This is no e-mail address that we can reach. Write it like name@example.org.")
    return ""
