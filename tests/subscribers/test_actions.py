"""People come by consent, leave at once, and no import raises anybody's consent."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from newsletter.campaigns.model import AudienceRule
from newsletter.database.audit import SHELL, Actor, AuditLine
from newsletter.database.session import Database
from newsletter.errors import Refused
from newsletter.subscribers import actions, sign_up
from newsletter.subscribers.audience import resolve_audience
from newsletter.subscribers.consent import may_receive
from newsletter.subscribers.model import WEAKEST_FIRST, NewSubscriber, SubscriberState, SuppressionReason
from newsletter.subscribers.queries import find_subscriber, get_subscriber, list_consents_of
from newsletter.subscribers.tables import Subscriber, Suppression
from tests.factories import KEY, NOON, ask

LATER = NOON + timedelta(days=1)


def _add(database: Database, address: str) -> int:
    with database.write() as session:
        return actions.add_subscriber(
            session,
            NewSubscriber(address, "en", ("pain",)),
            consent_source="paper form",
            suppression_key=KEY,
            actor=SHELL,
            now=NOON,
        ).number


def _audit(database: Database) -> list[tuple[str, str]]:
    with database.read() as session:
        lines = session.scalars(select(AuditLine).order_by(AuditLine.number)).all()
        assert not any("@" in str(vars(line)) for line in lines)
        return [(line.action, line.subject) for line in lines]


def test_one_person_has_one_row_however_the_address_is_spelt(database: Database) -> None:
    number = _add(database, "Ann@Example.org")
    with pytest.raises(Refused, match="is here already, as active"):
        _add(database, "ann@EXAMPLE.ORG")
    with database.read() as session:
        row = get_subscriber(session, "ANN@example.org")
        assert (row.number, row.address) == (number, "Ann@example.org")
    assert _audit(database) == [("subscriber added", f"subscriber:{number}")]


def test_two_domains_that_differ_by_a_sharp_s_are_two_people(database: Database) -> None:
    # IDNA 2003 made strasse.de of straße.de; since IDNA 2008 they belong to different owners.
    sharp, plain = _add(database, "ann@straße.de"), _add(database, "ann@strasse.de")
    with database.read() as session:
        for typed in ("ann@straße.de", "ANN@STRAßE.DE", " ann@xn--strae-oqa.de "):
            assert get_subscriber(session, typed).number == sharp
        assert get_subscriber(session, "ann@strasse.de").number == plain
        with pytest.raises(Refused, match="is not an e-mail address"):
            get_subscriber(session, "ann")


def test_signing_up_and_leaving_happen_once_and_are_kept_as_consent(database: Database) -> None:
    with database.write() as session:
        asked = ask(session, "ann@example.org", now=NOON)
        assert asked is not None
        number = get_subscriber(session, "ann@example.org").number
    actor = Actor.subscriber(number)
    with database.write() as session:
        assert sign_up.confirm(session, number, asked, trace=None, suppression_key=KEY, now=LATER)
        assert not sign_up.confirm(session, number, asked, trace=None, suppression_key=KEY, now=LATER)
        assert actions.unsubscribe(session, number, source="link", actor=actor, now=LATER, edition=3)
        assert not actions.unsubscribe(session, number, source="link", actor=actor, now=LATER)
        with pytest.raises(Refused, match="was used before"):
            sign_up.confirm(session, number, asked, trace=None, suppression_key=KEY, now=LATER)
    with database.read() as session:
        assert [c.act for c in list_consents_of(session, number)] == ["asked", "confirmed", "withdrawn"]
        assert get_subscriber(session, "ann@example.org").joined_at == LATER
    subject = f"subscriber:{number}"
    assert _audit(database) == [
        ("subscriber added", subject),
        ("subscriber confirmed", subject),
        ("subscriber left", subject),
    ]


def test_a_suppressed_address_is_kept_as_a_hash_alone_and_once(database: Database) -> None:
    number = _add(database, "ann@example.org")

    def suppress(address: str) -> bool:
        with database.write() as session:
            return actions.suppress(
                session,
                address,
                reason=SuppressionReason.BOUNCED,
                source="provider",
                suppression_key=KEY,
                actor=SHELL,
                now=NOON,
            )

    assert [suppress("Ann@example.org"), suppress("ann@example.org"), suppress("stranger@example.org")] == [
        True,
        False,
        True,
    ]
    with database.read() as session:
        found = find_subscriber(session, "ann@example.org")
        assert found is not None
        assert (found.number, found.state) == (number, SubscriberState.SUPPRESSED)
        hashes = session.scalars(select(Suppression.address_hash)).all()
        assert len(hashes) == 2
        assert not any("example" in hashed for hashed in hashes)
    assert [action for action, _ in _audit(database)] == ["subscriber added", *["address suppressed"] * 2]


@pytest.mark.parametrize("reasons", [WEAKEST_FIRST, WEAKEST_FIRST[::-1]], ids=["up", "down"])
def test_in_whatever_order_reasons_come_the_heaviest_stays(
    database: Database, reasons: tuple[SuppressionReason, ...]
) -> None:
    for reason in (*reasons, *reasons):
        with database.write() as session:
            actions.suppress(
                session,
                "ann@example.org",
                reason=reason,
                source=reason.value,
                suppression_key=KEY,
                actor=SHELL,
                now=NOON,
            )
    with database.read() as session:
        kept = session.scalars(select(Suppression)).one()
    assert (kept.reason, kept.source) == (SuppressionReason.ERASED, "erased")


def test_whoever_reads_a_language_gets_what_is_written_in_it_wherever_they_live(database: Database) -> None:
    # The last two stand for rows from before codes were checked, and for a language whose code only begins alike.
    with database.write() as session:
        for language in ("en", "en-GB", "fr", "EN", "enm"):
            session.add(Subscriber(state=SubscriberState.ACTIVE, language=language, added_at=NOON, joined_at=NOON))
            session.flush()
    for written in ("en", "en-US"):
        audience = resolve_audience(AudienceRule(), language=written, at=LATER, zone=ZoneInfo("Europe/London"))
        with database.read() as session:
            reasons = session.execute(audience.order_by(Subscriber.number)).scalars("reason").all()
        assert reasons == [None, None, "other language", None, "other language"]
    with database.write() as session, pytest.raises(Refused, match=r"`English` is not a language\. Write its code"):
        actions.add_subscriber(
            session,
            NewSubscriber("ann@example.org", "English"),
            consent_source="form",
            suppression_key=KEY,
            actor=SHELL,
            now=NOON,
        )


def test_only_active_people_whose_address_is_free_may_receive() -> None:
    may = {state for state in SubscriberState if may_receive(state, suppressed=False)}
    assert may == {SubscriberState.ACTIVE}
    assert not any(may_receive(state, suppressed=True) for state in SubscriberState)
