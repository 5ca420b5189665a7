"""What the cells of other services mean: words of a status, yes and no, times."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from functools import lru_cache

from newsletter.subscriber_import.model import Wish

_WANTS = """
active | subscribed | confirmed | enabled | opted in | opt in | optin | double opt in | single opt in | express
| explicit | implied | permission granted | granted | accepted | yes | y | true | 1 | on | x
| aktiv | angemeldet | abonniert | ja | bestatigt | actif | active abonne | abonne | inscrit | oui | activo | suscrito
| si | sim | inscrito | ativo | iscritto | attivo
"""
_NOT_ASKED = """
pending | unconfirmed | not confirmed | awaiting confirmation | pending confirmation | non subscribed | nonsubscribed
| non subscriber | never subscribed | not subscribed | transactional | inactive | unknown | none | null | not set
| no permissions set | temporary hold | temp hold | on hold | paused | archived | n a | na | ausstehend
| en attente | pendiente | in attesa | not asked
"""
_LEFT = """
unsubscribed | unsubscribe | opted out | opt out | optout | cancelled | canceled | removed | deleted | blocklisted
| blacklisted | blocked | disabled | declined | refused | withdrawn | left | erased | no | n | false | 0 | off
| abgemeldet | nein | gesperrt | desabonne | desinscrit | non | baja | dado de baja | cancelado | disiscritto | nao
"""
_BOUNCED = """
bounced | bounce | hard bounce | hard bounced | hardbounced | cleaned | invalid | undeliverable | suppressed | dropped
| staff | unzustellbar | rebotado | rejete
"""
_COMPLAINED = """
complained | complaint | spam | spam complaint | spam report | marked as spam | abuse | junk | reported as spam
"""


def plain(text: str) -> str:
    """A title or a word in the form in which spellings of it are one: lower case, no accents, single spaces.

    `E-Mail_Adresse` and `e-mail adresse` are both `e mail adresse`.
    """
    letters = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(re.sub(r"[^\w]|_", " ", bare).split())


def listed(text: str) -> tuple[str, ...]:
    """The words of a text in which `|` stands between them."""
    return tuple(word for part in text.split("|") if (word := part.strip()))


_STATUSES = {
    word: wish
    for wish, words in (
        (Wish.WANTS, _WANTS),
        (Wish.NOT_ASKED, _NOT_ASKED),
        (Wish.LEFT, _LEFT),
        (Wish.BOUNCED, _BOUNCED),
        (Wish.COMPLAINED, _COMPLAINED),
    )
    for word in listed(words)
}


@lru_cache(4_096)
def read_status(text: str) -> Wish | None:
    """What a status or an answer says; a blank one that nobody has asked; None for a word that is not known."""
    word = plain(text)
    return _STATUSES.get(word) if word else Wish.NOT_ASKED


@lru_cache(4_096)
def is_yes(text: str) -> bool:
    """Whether a cell says yes."""
    return _STATUSES.get(plain(text)) is Wish.WANTS


@lru_cache(4_096)
def says_nothing(text: str) -> bool:
    """Whether a cell that tells when or that somebody left says that they did not."""
    return plain(text) in ("", "no", "n", "false", "0", "null", "none", "nein", "non", "off")


def read_time(text: str) -> datetime | None:
    """An instant as services write it, in UTC where no zone is named; seconds since 1970 too. None for what is none.

    Days and months in figures alone, such as 03/04/2025, could be either and are not guessed.
    """
    if len(text) == 10 and text.isdecimal():
        return datetime.fromtimestamp(int(text), UTC)
    try:
        read = datetime.fromisoformat(text.strip().removesuffix(" UTC"))
        instant = read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    # No newsletter is older; what is, was the zero of some calendar.
    return instant if instant.year >= 1990 else None
