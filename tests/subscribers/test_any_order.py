"""In whatever order people, strangers, staff and providers act: no forbidden state, and nobody's consent is raised.

Only what a person has confirmed themselves, or gave to the clinic before they were here, makes a reader of them.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.campaigns.model import AudienceRule
from newsletter.database.audit import SCHEDULER, SHELL
from newsletter.database.session import Database, open_database
from newsletter.errors import Refused
from newsletter.subscriber_import.model import ImportState
from newsletter.subscriber_import.queries import list_imports
from newsletter.subscriber_import.rows import Terms
from newsletter.subscriber_import.runner import Importer
from newsletter.subscribers import actions
from newsletter.subscribers.audience import resolve_audience
from newsletter.subscribers.model import (
    ALLOWED_MOVES,
    Choices,
    ConsentAct,
    NewSubscriber,
    SubscriberState,
    SuppressionReason,
)
from newsletter.subscribers.queries import find_subscriber, find_suppression, list_consents_of
from newsletter.subscribers.reader_notices import take_reader_notice
from newsletter.subscribers.sign_up import confirm, delete_unconfirmed
from newsletter.subscribers.tables import SignUp, Subscriber
from tests.factories import KEY, LONG_AGO, NOON, StillClock, ask

PEOPLE = ("ann@example.org", "Ben@example.org", "a.b@gmail.com")
ONCE_REFUSED = (ConsentAct.WITHDRAWN, ConsentAct.LIFTED, ConsentAct.ERASED)
ACTS = st.tuples(
    st.sampled_from(
        [
            *("ask", "confirm", "confirm an old one", "leave", "pause", "resume", "change", "erase"),
            *("add", "import", "import who left", "import bounces", "import complaints", "import unasked", "undo"),
            *("bounce", "complain", "suppress", "lift"),
            *("an hour goes", "a day goes", "a month goes", "night", "mail"),
        ]
    ),
    st.sampled_from(PEOPLE),
)


_LISTS = {
    "import": "active",
    "import who left": "unsubscribed",
    "import bounces": "bounced",
    "import complaints": "spam",
    "import unasked": "pending",
    "undo": "",
}


class Story:
    """Some addresses, and what happens to them."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.now = NOON
        self.confirmed: dict[int, datetime] = {}

    def act(self, kind: str, address: str) -> None:
        """One thing happens; what is refused changes nothing."""
        with suppress(Refused):
            if kind in _LISTS:
                self._import(kind, address)
            else:
                with self.database.write() as session:
                    self._act(session, kind, address)
        # Nothing happens in the same second as what was before it.
        self.now += timedelta(seconds=1)

    def _act(self, session: Session, kind: str, address: str) -> None:
        person = find_subscriber(session, address)
        number = person.number if person else 0
        now, by = self.now, SHELL
        match kind:
            case "ask":
                ask(session, address, now=now, choices=Choices("en", ("sleep",)))
            case "confirm" | "confirm an old one":
                newest = SignUp.number.desc() if kind == "confirm" else SignUp.number
                asked = session.scalar(select(SignUp.number).where(SignUp.subscriber == number).order_by(newest))
                if asked is not None and confirm(session, number, asked, trace=None, suppression_key=KEY, now=now):
                    self.confirmed[number] = now
            case "leave":
                actions.unsubscribe(session, number, source="link", actor=by, now=now)
            case "pause":
                actions.pause(session, number, now + timedelta(days=30), source="page", actor=by, now=now)
            case "resume":
                actions.resume(session, number, source="page", actor=by, now=now)
            case "change":
                actions.change_choices(session, number, Choices("de"), source="page", actor=by, now=now)
            case "erase":
                actions.erase(session, number, source="page", actor=by, now=now)
            case "add":
                given = NewSubscriber(address, "en")
                actions.add_subscriber(session, given, consent_source="paper", suppression_key=KEY, actor=by, now=now)
            case "bounce" | "complain" | "suppress":
                reason = {
                    "bounce": SuppressionReason.BOUNCED,
                    "complain": SuppressionReason.COMPLAINED,
                    "suppress": SuppressionReason.STAFF,
                }[kind]
                actions.suppress(session, address, reason=reason, source="x", suppression_key=KEY, actor=by, now=now)
            case "lift":
                actions.lift_suppression(session, address, reason="x", suppression_key=KEY, actor=by, now=now)
            case "an hour goes":
                self.now += timedelta(hours=1)
            case "a day goes":
                self.now += timedelta(days=1)
            case "a month goes":
                self.now += timedelta(days=31)
            case "night":
                actions.resume_due(session, actor=SCHEDULER, now=now)
                delete_unconfirmed(session, now=now, days=30)
            case _:
                self._mail(session)

    def _import(self, kind: str, address: str) -> None:
        """A list with the address and another spelling of it comes in, or the first that can be undone is undone."""
        importer = Importer(self.database, StillClock(self.now), SHELL)
        if kind == "undo":
            with self.database.read() as session:
                applied = [row.number for row in list_imports(session) if row.state is ImportState.APPLIED]
            if applied:
                importer.undo(applied[-1])
            return
        file = self.folder / "people.csv"
        file.write_text(f"email,status\n{address.upper()},active\n{address},{_LISTS[kind]}\n")
        terms = Terms("en", {}, KEY)
        row = importer.stage([file], terms, consent_source="old list", controller="A Clinic")
        assert sum(row.counts["verdicts"].values()) == row.counts["rows"] == 2, "no row is lost between the counts"
        importer.apply(row.number)

    def _mail(self, session: Session) -> None:
        while notice := take_reader_notice(session, actor=SCHEDULER, now=self.now, wanted_after=LONG_AGO):
            reason = find_suppression(session, notice.address, KEY)
            assert reason in (None, SuppressionReason.UNSUBSCRIBED), "a mail went to an address that must not be mailed"

    def states(self) -> dict[int, SubscriberState]:
        """Everybody's state, by number."""
        with self.database.read() as session:
            return dict(session.execute(select(Subscriber.number, Subscriber.state)).all())

    def audience(self) -> set[int]:
        """Who would get an edition that is for everybody."""
        rule = resolve_audience(AudienceRule(any_language=True), language="en", at=self.now, zone=ZoneInfo("UTC"))
        with self.database.read() as session:
            return {row["number"] for row in session.execute(rule).mappings() if row["reason"] is None}

    def acts_of(self, number: int) -> list[ConsentAct]:
        """What is on the record of a person."""
        with self.database.read() as session:
            return [consent.act for consent in list_consents_of(session, number)]


def _check(story: Story, kind: str, before: dict[int, SubscriberState]) -> None:
    after = story.states()
    for number, state in after.items():
        was = before.get(number)
        if was is None:
            expected = {"ask": SubscriberState.PENDING}.get(kind, SubscriberState.ACTIVE)
            assert state is expected
            assert kind in ("ask", "add", "import")
        else:
            assert state is was or state in ALLOWED_MOVES[was], f"{kind}: {was} became {state}"
    for number in before.keys() - after.keys():
        assert before[number] is SubscriberState.PENDING, "only who never confirmed is deleted"
    for number in story.audience():
        assert after[number] is SubscriberState.ACTIVE
        acts = story.acts_of(number)
        consented = max(i for i, act in enumerate(acts) if act in _RAISES)
        refused = max((i for i, act in enumerate(acts) if act in ONCE_REFUSED), default=-1)
        assert consented > refused, f"mailed after {acts}"
        if refused >= 0:
            assert acts[consented] is ConsentAct.CONFIRMED
        if ConsentAct.ASKED in acts[: acts.index(acts[consented]) + 1] and acts[consented] is ConsentAct.CONFIRMED:
            assert number in story.confirmed


_RAISES = (ConsentAct.CONFIRMED, ConsentAct.GIVEN, ConsentAct.IMPORTED)


@settings(max_examples=150, deadline=None)
@given(st.lists(ACTS, max_size=25))
def test_no_order_of_acts_reaches_a_forbidden_state_or_raises_anybodys_consent(
    sqlite_template: Path, acts: list[tuple[str, str]]
) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "newsletter.sqlite3"
        copy(sqlite_template, file)
        database = open_database(f"sqlite:///{file}")
        story = Story(database, Path(folder))
        for kind, address in acts:
            before = story.states()
            story.act(kind, address)
            _check(story, kind, before)
        database.close()
