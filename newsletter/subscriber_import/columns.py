"""The columns that are read, by the titles that they have in many files; every other column is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from newsletter.subscriber_import.words import listed, plain


class Column(StrEnum):
    """What a column tells of a person, by a title that it may have. Nothing but this is read of any file."""

    ADDRESS = "address"
    STATUS = "status"
    """A word such as subscribed, unsubscribed, bounced."""
    SUPPRESSED_BECAUSE = "suppressed because"
    """A word as in a status; blank where there is no reason."""
    AGREED = "consent"
    """Yes or no; blank when they were never asked."""
    REFUSED = "unsubscribed at"
    """Anything but blank or no, such as a date, says that they did."""
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    CONFIRMED_AT = "confirmed at"
    GIVEN_AT = "subscribed at"
    REFUSED_AT = "left at"
    LANGUAGE = "language"
    TOPICS = "topics"
    TEXT_ONLY = "text only"


_TITLES = {
    Column.ADDRESS: """
        email address | email | e mail | e mail address | mail | mail address | subscriber | subscriber email
        | contact email | client email | patient email | user email | primary email | email 1 | email id | work email
        | e mail adresse | email adresse | emailadresse | mailadresse | adresse email | adresse e mail
        | adresse electronique | adresse mail | courriel | adresse courriel | mel | correo | correo electronico
        | direccion de correo | direccion de correo electronico | direccion de email | indirizzo email
        | indirizzo e mail | indirizzo di posta elettronica | posta elettronica | endereco de email
        | endereco de e mail | correio eletronico | e mailadres | emailadres | e postadress | e post | epost
        | e postadresse | sahkoposti | sahkopostiosoite | adres e mail | adres email | email cim | eposta | e posta
        | address
    """,
    Column.STATUS: """
        status | email status | email permission status | subscription status | subscriber status
        | subscription state | member status | contact status | marketing status | email marketing status
        | email subscription status | permission status | anmeldestatus | abostatus | statut
        | statut d abonnement | estado de suscripcion | situacao
    """,
    Column.AGREED: """
        subscribed | is subscribed | accepted email marketing | email marketing | email marketing consent
        | marketing consent | consent | consent to email | newsletter | newsletter consent | receive newsletter
        | opt in | opted in | optin | email opt in | double opt in | accepts marketing | accepts email marketing
        | marketing emails | email marketing opt in | einwilligung | newsletter einwilligung | consentement
        | consentimiento | consenso
    """,
    Column.REFUSED: """
        unsubscribed | unsubscribed at | unsubscribe date | unsubscribed date | date unsubscribed | opted out
        | opt out | opted out of email | email opt out | has opted out of email | confirmed opt out date | opt out date
        | opted out at | email disabled | email blacklisted | emailblacklisted | email blocklisted | blacklisted
        | blocklisted | do not email | do not contact | unsub time | abgemeldet | abgemeldet am | desabonne
        | desinscrit
    """,
    Column.SUPPRESSED_BECAUSE: "suppressed because",
    Column.BOUNCED: "bounced | hard bounced | bounced at | bounce date | clean time",
    Column.COMPLAINED: "complained | spam complaint | marked as spam | complained at",
    Column.CONFIRMED_AT: """
        confirm time | confirmed at | confirmation time | confirmation date | confirmed on | opt in confirmed at
        | double opt in date
    """,
    Column.GIVEN_AT: """
        optin time | opt in time | opt in date | opted in at | consent date | consent given at | consent time
        | subscribed at | subscribed on | subscribe date | subscription date | subscribed date | date subscribed
        | signup date | sign up date | signed up | joined at | joined | angemeldet am | date d inscription
        | fecha de alta
    """,
    Column.LANGUAGE: "language | lang | preferred language | sprache | langue | idioma | lingua | taal | locale",
    # No "interests": with that other services export what they ask, whose answers are no topics of ours.
    Column.TOPICS: "topics | themen | sujets | temas | argomenti | onderwerpen",
    Column.TEXT_ONLY: "text only",
}
TITLES: Mapping[Column, tuple[str, ...]] = {column: listed(titles) for column, titles in _TITLES.items()}
"""Titles in the form of `plain`, the surest first."""

_COLUMN_BY_TITLE = {title: column for column, titles in TITLES.items() for title in titles}

_OF_PATIENTS = frozenset(
    listed("""
        date of birth | dob | geburtsdatum | allergies | medical alerts | medical alert | medical history
        | medications | medication | diagnosis | diagnoses | diagnosis code | icd 10 | treatment
        | treatment plan | referring doctor | referring provider | gp | gp name | insurance
        | primary insurance | insurance name | insurance provider | insurance payer
        | insurance policy number | health fund | medicare number | nhs number | health card number
        | practitioner | primary practitioner | primary clinician | clinician | clinical notes
        | patient number | patient id | patient guid | next appointment | last appointment
        | emergency contact | diagnose | diagnosen | krankenkasse | allergien | medikamente
        | versichertennummer | numero de securite sociale | diagnostic | diagnostico | allergie
    """)
)


def find_column(title: str) -> Column | None:
    """What a column tells, by its title."""
    return _COLUMN_BY_TITLE.get(plain(title))


def rank(title: str) -> int:
    """How sure a title is among those of its column; 0 is the surest."""
    name = plain(title)
    column = _COLUMN_BY_TITLE[name]
    return TITLES[column].index(name)


def is_of_patients(title: str) -> bool:
    """Whether a column is one that only a clinic's list of patients has."""
    return plain(title) in _OF_PATIENTS
