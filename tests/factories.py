"""Things that tests need, made through the same actions that people use."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import escape
from zoneinfo import ZoneInfo

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from newsletter.campaigns.model import AudienceRule
from newsletter.database.audit import SHELL, Source
from newsletter.database.session import Database
from newsletter.delivery.queries import list_uncertain
from newsletter.delivery.worker import Worker
from newsletter.editions import actions as editions
from newsletter.editions.model import Content, Snapshot
from newsletter.mail import Mailbox
from newsletter.provider_events.model import SoftBounceRule
from newsletter.providers.contract import Outcome, OutgoingBatch, Receipt, Transport
from newsletter.rendering.model import LinkTag, MailPicture
from newsletter.schedule.rules import EventRules, Rules
from newsletter.staff.actions import add_person
from newsletter.staff.model import StaffActor, acting
from newsletter.staff.queries import get_person
from newsletter.staff.roles import Role
from newsletter.subscribers.address import address_hash, address_key
from newsletter.subscribers.model import Choices, ConsentAct, Evidence, NewSubscriber, SubscriberState, Wording
from newsletter.subscribers.queries import get_subscriber
from newsletter.subscribers.reader_notices import AnswerLimits
from newsletter.subscribers.sign_up import confirm, sign_up
from newsletter.subscribers.tables import Consent, SignUp, Subscriber
from newsletter.subscribers.tokens import Tokens

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
LONG_AGO = NOON - timedelta(days=9)
LONDON = ZoneInfo("Europe/London")
KEY = "a key for tests alone"
EVENT_RULES = EventRules(KEY, SoftBounceRule(), keep_days=30)
RULES = Rules(LONDON, late_after=timedelta(hours=2), events=EVENT_RULES)


@dataclass
class StillClock:
    """A clock that goes only when it is told to."""

    time: datetime = NOON

    def now(self) -> datetime:
        """The instant it shows."""
        return self.time

    def go(self, **span: float) -> datetime:
        """Go on by a time such as `minutes=5`."""
        self.time += timedelta(**span)
        return self.time


@dataclass
class FakeTransport:
    """A provider at hand: keeps what it accepted, and answers what `answers` says, then always accepted."""

    name: str = "fake"
    batch_limit: int = 10
    idempotent: bool = False
    paced: bool = False
    answers: list[Receipt | Exception] = field(default_factory=list)
    batches: list[OutgoingBatch] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    def send(self, batch: OutgoingBatch) -> Receipt:
        """Take a batch."""
        self.batches.append(batch)
        answer = self.answers.pop(0) if self.answers else Receipt(Outcome.ACCEPTED, reference="fake-1")
        if isinstance(answer, Exception):
            raise answer
        if answer.outcome is Outcome.ACCEPTED:
            self.accepted += [p.delivery for p in batch.people if p.delivery not in answer.people]
        return answer


@dataclass(frozen=True)
class Cast:
    """The staff of a clinic: Ada writes, Rhea and Rob review, Max manages."""

    ada: StaffActor
    rhea: StaffActor
    rob: StaffActor
    max: StaffActor


def add_cast(session: Session, now: datetime = NOON) -> Cast:
    """The staff, as rows."""
    root = add_person(
        session, "root@example.org", name="Root", roles={Role.ADMINISTRATOR}, by=None, actor=SHELL, now=now
    )

    def person(name: str, *roles: Role) -> StaffActor:
        added = add_person(
            session,
            f"{name}@example.org",
            name=name.title(),
            roles=roles,
            by=root,
            actor=acting(root, Source.SHELL),
            now=now,
        )
        return acting(added, Source.SHELL)

    return Cast(
        person("ada", Role.AUTHOR),
        person("rhea", Role.REVIEWER),
        person("rob", Role.REVIEWER),
        person("max", Role.MANAGER),
    )


def find_cast(session: Session) -> Cast:
    """The staff that `add_cast` made."""
    return Cast(
        *(acting(get_person(session, f"{name}@example.org"), Source.SHELL) for name in ("ada", "rhea", "rob", "max"))
    )


def snapshot(
    *,
    subject: str = "Pain that was learned",
    mailing: str = "opening",
    audience: AudienceRule | None = None,
    send_at: datetime = NOON + timedelta(hours=1),
    base_url: str = "https://news.example.org",
) -> Snapshot:
    """A mailing as `freeze_edition` gives it, with one picture."""
    picture = b"a picture"
    name = hashlib.sha256(picture).hexdigest()
    leave, choose = LinkTag.UNSUBSCRIBE.link(base_url), LinkTag.PREFERENCES.link(base_url)
    html = f'<a href="{escape(leave)}">Leave</a> <a href="{escape(choose)}">Choose</a> Grüße'
    text = f"Leave: {leave}\nChoose: {choose}\nGrüße\n"
    content = Content(
        sender=Mailbox("news@clinic.example.org", "The Clinic"),
        reply_to="desk@clinic.example.org",
        subject=subject,
        preheader="What research says",
        html=html,
        text=text,
        language="en",
        audience=audience or AudienceRule(),
        base_url=base_url,
        pictures={f"{name}.png": name},
    )
    pictures = (MailPicture(f"{name}.png", name, "image/png", picture, 1, 1),)
    return Snapshot("2026-11-neuroplastic-pain", "2026-11", mailing, send_at, content, pictures)


def add_people(
    session: Session, count: int, *, now: datetime = NOON - timedelta(days=9), text_only: bool = False
) -> None:
    """Active readers `reader1@example.org` and on; with `text_only` their addresses begin with `plain`."""
    name = "plain" if text_only else "reader"
    people = [NewSubscriber(f"{name}{n}@example.org", "en", (), text_only) for n in range(1, count + 1)]
    add_readers(session, people, now=now)


def add_readers(session: Session, people: Sequence[NewSubscriber], *, now: datetime) -> None:
    """Active readers with a consent on paper, as an import of them would leave them; none of them is here yet."""
    person = {"state": SubscriberState.ACTIVE, "added_at": now, "joined_at": now}
    rows = [
        {
            **person,
            "address": one.address,
            "address_key": address_key(one.address),
            "address_hash": address_hash(one.address, KEY),
            "language": one.language,
            "text_only": one.text_only,
        }
        for one in people
    ]
    texts = dict.fromkeys(("method", "controller", "privacy_notice", "age_statement"), "")
    consent = {**texts, "act": ConsentAct.IMPORTED, "at": now, "by": "shell", "source": "paper form", "tracking": False}
    for start in range(0, len(rows), 2_000):
        keys = [row["address_key"] for row in rows[start : start + 2_000]]
        session.execute(insert(Subscriber), rows[start : start + 2_000])
        numbers = session.scalars(select(Subscriber.number).where(Subscriber.address_key.in_(keys)))
        session.execute(insert(Consent), [{**consent, "subscriber": number} for number in numbers])


def add_many(session: Session, count: int, *, now: datetime = LONG_AGO) -> None:
    """As `add_people`, for numbers at which hashing would take too long."""
    rows = [
        {"state": "active", "address": f"r{n}@example.org", "address_key": f"r{n}@example.org", "language": "en"}
        | {"text_only": False, "added_at": now, "joined_at": now}
        for n in range(count)
    ]
    for start in range(0, count, 2_000):
        session.execute(insert(Subscriber), rows[start : start + 2_000])


def approved_edition(session: Session, cast: Cast, now: datetime = NOON, given: Snapshot | None = None) -> str:
    """An edition that Ada submitted and Rhea approved; gives its id."""
    edition = editions.submit(session, snapshot=given or snapshot(), actor=cast.ada, now=now)
    editions.approve(session, edition.id, actor=cast.rhea, now=now, needed=1, days=30)
    return edition.id


def scheduled_edition(database: Database, cast: Cast, now: datetime = NOON, given: Snapshot | None = None) -> str:
    """An approved edition that Max scheduled for right now; gives its id."""
    with database.write() as session:
        edition = approved_edition(session, cast, now, given)
        editions.schedule(session, edition, actor=cast.max, now=now, at=now)
    return edition


def edition_for(database: Database, people: int, now: datetime = NOON) -> str:
    """An edition due right now, in a clinic with its staff and so many readers; gives its id."""
    with database.write() as session:
        cast = add_cast(session, now)
        add_people(session, people)
    return scheduled_edition(database, cast, now)


def worker(database: Database, transport: Transport, clock: StillClock, name: str = "w1") -> Worker:
    """A worker with a clock of the test's own."""
    return Worker(name, database, transport, Tokens([KEY]), clock)


def first_uncertain(session: Session, edition: str) -> str:
    """The oldest attempt of a send that has no answer."""
    attempts = list_uncertain(session, edition)
    return attempts[0][0].id if attempts else "none"


WORDING = Wording("0001.en", "en", "I would like the newsletter.")


def ask(session: Session, address: str, *, now: datetime, choices: Choices | None = None) -> int | None:
    """Somebody signs up with an address; gives the number of the sign-up, when there is one to confirm."""
    evidence = Evidence("https://news.example.org/subscribe", wording=WORDING, controller="A Clinic")
    sign_up(
        session,
        address,
        choices or Choices("en"),
        evidence,
        limits=AnswerLimits(an_hour=1_000_000),
        suppression_key=KEY,
        now=now,
    )
    return session.scalar(
        select(func.max(SignUp.number))
        .join(Subscriber, Subscriber.number == SignUp.subscriber)
        .where(Subscriber.address_key == address_key(address), SignUp.confirmed_at.is_(None))
    )


def sign_up_and_confirm(session: Session, address: str, *, now: datetime) -> int:
    """A person signs up and confirms it; gives their number. They must not have asked within 24 hours."""
    asked = ask(session, address, now=now)
    assert asked is not None
    number = get_subscriber(session, address).number
    assert confirm(session, number, asked, trace=None, suppression_key=KEY, now=now)
    return number
