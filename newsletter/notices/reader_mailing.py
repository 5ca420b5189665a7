"""Mails readers what they are to be told: to confirm, that they are here already, welcome, a link to their choices.

Each goes at most once: it counts as mailed before it is handed over. They keep no pace with sends: a person waits for
each of them at a screen, `sign_ups_an_hour` bounds how many there are, and one at a time they are a trickle beside what
a provider takes. When the provider asks to slow down, they rest as long as it says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from newsletter.clock import Clock
from newsletter.database.audit import SCHEDULER
from newsletter.database.instance import find_lock
from newsletter.delivery.archive import find_newest_archived
from newsletter.languages import speak
from newsletter.log import get_log
from newsletter.mail import Mailbox, leaving_by_mail, one_click_headers
from newsletter.notices.desk import Desk, make_batch, send_notice
from newsletter.notices.letters import Letter, write_reader_letter
from newsletter.providers.contract import Outcome, Receipt
from newsletter.rendering.brand import read_brand
from newsletter.subscribers.model import ReaderNoticeKind
from newsletter.subscribers.reader_notices import (
    WantedReaderNotice,
    give_up_reader_notice,
    is_any_due,
    put_back_reader_notice,
    take_reader_notice,
)
from newsletter.subscribers.tokens import Bearer, Purpose, Tokens

_log = get_log(__name__)

CHOICES_WITHIN = timedelta(minutes=30)
"""For how long a mailed link to one's choices holds."""

AGAIN_AFTER = timedelta(seconds=30)
"""How long a notice waits that was not accepted; each time twice as long, up to half an hour."""

GIVEN_UP_AFTER = timedelta(days=1)
"""After this nobody waits for a notice any more; they can ask again by then."""

_PASSES_UNSUBSCRIBES = (ReaderNoticeKind.CONFIRM, ReaderNoticeKind.CHOICES, ReaderNoticeKind.WELCOME)
"""What its reader has just asked for: by then they may have left, or SendGrid may not know yet that they came back."""


@dataclass(frozen=True)
class ReaderDesk:
    """A desk with what readers' notices need.

    Links begin with `base_url`; an address that nobody confirms is deleted after `pending_days`.
    """

    desk: Desk
    tokens: Tokens
    base_url: str
    postal_address: str
    pending_days: int = 30
    inbound_address: str = ""

    @property
    def clock(self) -> Clock:
        """The clock of the desk."""
        return self.desk.clock


class ReaderMailer:
    """Mails what is wanted whenever it is told to look."""

    def __init__(self, desk: ReaderDesk) -> None:
        self._desk = desk
        self._rests_until: datetime | None = None

    def look(self, is_stopping: Callable[[], bool] = lambda: False) -> int:
        """Mail every notice that is due, each once; gives how many went. Raises only what the database raises.

        From a database that is locked, such as a copy, none goes. After one that could not go, the others wait for the
        next look, so that a provider in trouble is not asked for all of them at once.
        """
        mailed = 0
        while not (is_stopping() or self._rests()) and (notice := _take(self._desk)):
            receipt = _send(self._desk, notice)
            if not _is_on_its_way(receipt, notice):
                self._put_back(notice, receipt)
                break
            mailed += 1
            self._rests_until = receipt.not_before
        return mailed

    def _rests(self) -> bool:
        return self._rests_until is not None and self._desk.clock.now() < self._rests_until

    def _put_back(self, notice: WantedReaderNotice, receipt: Receipt) -> None:
        self._rests_until = receipt.not_before
        refused = receipt.people.get(name_of(notice))
        trouble = (refused or receipt).reason or receipt.outcome.value
        _log.warning("reader's notice not sent", notice=notice.number, outcome=receipt.outcome.value)
        now = self._desk.clock.now()
        with self._desk.desk.database.write() as session:
            if refused and refused.outcome is Outcome.REJECTED:
                give_up_reader_notice(session, notice, actor=SCHEDULER, now=now, trouble=trouble)
            else:
                put_back_reader_notice(
                    session, notice, actor=SCHEDULER, now=now, again_after=AGAIN_AFTER, trouble=trouble
                )


def name_of(notice: WantedReaderNotice) -> str:
    """The name of a notice's mail, the same for every try and never that of another one."""
    # A number may come again when its row was deleted with its person.
    return f"reader{notice.number}t{int(notice.wanted_at.timestamp())}"


def _take(desk: ReaderDesk) -> WantedReaderNotice | None:
    now = desk.clock.now()
    after = now - GIVEN_UP_AFTER
    with desk.desk.database.read() as session:
        if not is_any_due(session, now=now, wanted_after=after):
            return None
    with desk.desk.database.write() as session:
        if find_lock(session):
            return None
        return take_reader_notice(session, actor=SCHEDULER, now=now, wanted_after=after)


def _send(desk: ReaderDesk, notice: WantedReaderNotice) -> Receipt:
    try:
        links = _links(desk, notice)
        letter = _write(desk, notice, links)
    except Exception as error:
        # A template that staff have changed can fail in any way.
        return Receipt(Outcome.TRY_AGAIN, f"it could not be written: {type(error).__name__}: {error}")
    # Whoever reads from now on can leave by the button of their mail program; the others get answers, not a newsletter.
    one_click = _one_click(desk, links["unsubscribe"]) if notice.kind is ReaderNoticeKind.WELCOME else None
    name = name_of(notice)
    batch = make_batch(
        desk.desk,
        name,
        letter,
        [(name, Mailbox(notice.address))],
        date=notice.wanted_at,
        headers=one_click,
        to_who_left=notice.kind in _PASSES_UNSUBSCRIBES,
    )
    return send_notice(desk.desk, batch)


def _one_click(desk: ReaderDesk, link: str) -> dict[str, str]:
    token = link.rpartition("/")[2]
    return one_click_headers(link, leaving_by_mail(desk.inbound_address) + token if desk.inbound_address else "")


def _is_on_its_way(receipt: Receipt, notice: WantedReaderNotice) -> bool:
    outcome = receipt.people.get(name_of(notice), receipt).outcome
    return outcome in (Outcome.ACCEPTED, Outcome.UNCERTAIN)


def _links(desk: ReaderDesk, notice: WantedReaderNotice) -> dict[str, str]:
    """The links of a notice by their purpose; they are made now and kept nowhere."""
    bearer = Bearer(notice.subscriber)

    def link(path: str, purpose: Purpose, bearer: Bearer = bearer, expires: datetime | None = None) -> str:
        return f"{desk.base_url}/{path}/{desk.tokens.sign(purpose, bearer, expires=expires)}"

    match notice.kind:
        case ReaderNoticeKind.CONFIRM:
            assert notice.sign_up is not None
            sign_up = Bearer(notice.subscriber, notice.sign_up)
            return {"confirm": link("confirm", Purpose.CONFIRM, sign_up, notice.expires_at)}
        case ReaderNoticeKind.CHOICES:
            expires = desk.clock.now() + CHOICES_WITHIN
            return {"choices": link("preferences", Purpose.CHOICES, expires=expires)}
        case ReaderNoticeKind.HERE_ALREADY | ReaderNoticeKind.WELCOME:
            return {
                "preferences": link("preferences", Purpose.PREFERENCES),
                "unsubscribe": link("unsubscribe", Purpose.UNSUBSCRIBE),
            }


def _write(desk: ReaderDesk, notice: WantedReaderNotice, links: dict[str, str]) -> Letter:
    language = speak(notice.language)
    holds = notice.expires_at - notice.wanted_at if notice.expires_at else timedelta(0)
    values = {
        "clinic": desk.desk.clinic,
        "postal_address": desk.postal_address,
        "reply_to": desk.desk.reply_to.address,
        "links": links,
        "confirm_days": holds.days,
        "pending_days": desk.pending_days,
        "newest": _newest(desk, notice) if notice.kind is ReaderNoticeKind.WELCOME else None,
    }
    brand = read_brand(desk.desk.workspace)
    return write_reader_letter(notice.kind, values, language=language, workspace=desk.desk.workspace, brand=brand)


def _newest(desk: ReaderDesk, notice: WantedReaderNotice) -> dict[str, str] | None:
    """The newest letter of the archive that the reader can read: what it is called, and where it is."""
    with desk.desk.database.read() as session:
        found = find_newest_archived(session, language=notice.language)
    return {"title": found.subject, "link": desk.base_url + found.path} if found else None
