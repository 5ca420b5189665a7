"""What SendGrid lists counts here, who leaves here is listed there, and nothing is lost when it does not answer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from newsletter.database.audit import SHELL, AuditLine
from newsletter.database.instance import lock
from newsletter.database.session import Database
from newsletter.providers.sendgrid.lists import ListName
from newsletter.subscribers.model import NewSubscriber, SubscriberState, SuppressionReason
from newsletter.subscribers.tables import Subscriber, Suppression
from newsletter.suppression_lists.model import Pulled, Pushed
from newsletter.suppression_lists.queries import get_standing, list_pulled
from newsletter.suppression_lists.rules import FIRST_WAIT
from tests.factories import add_readers
from tests.sendgrid_double.running import RunningDouble
from tests.suppression_lists.readers import Readers, addresses, make_readers

ACTIVE, LEFT, SUPPRESSED = SubscriberState.ACTIVE, SubscriberState.UNSUBSCRIBED, SubscriberState.SUPPRESSED


def pull_all(readers: Readers) -> dict[str, tuple[int, int]]:
    pulled = [readers.sync.pull(name) for name in ListName]
    assert not any(one.trouble for one in pulled)
    return {one.name.value: (one.new, one.unknown) for one in pulled}


def test_what_sendgrid_lists_counts_here_and_a_second_reading_is_no_news(
    database: Database, double: RunningDouble
) -> None:
    readers = make_readers(database, double, 6)
    at = readers.at() - 60
    double.list_addresses(
        unsubscribes=[("READER1@example.org", at), ("stranger@example.org", at)],
        bounces=[("reader2@example.org", at), ("no address", at)],
        spam_reports=[("reader3@example.org", at), ("reader2@example.org", at)],
        invalid_emails=[("reader4@example.org", at)],
        blocks=[("reader5@example.org", at)],
    )
    assert pull_all(readers) == {
        "spam_reports": (2, 0),
        "bounces": (0, 1),
        "invalid_emails": (1, 0),
        "unsubscribes": (1, 1),
    }
    expected = dict(zip(addresses(range(1, 7)), (LEFT, *[SUPPRESSED] * 3, ACTIVE, ACTIVE), strict=True))
    assert readers.states() == expected
    assert readers.reasons() == {
        "reader1@example.org": SuppressionReason.UNSUBSCRIBED,
        "reader2@example.org": SuppressionReason.COMPLAINED,
        "reader3@example.org": SuppressionReason.COMPLAINED,
        "reader4@example.org": SuppressionReason.BOUNCED,
    }
    readers.clock.go(days=1)
    assert [new for new, _ in pull_all(readers).values()] == [0, 0, 0, 0]
    assert readers.states() == expected
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Suppression)) == 4, "of strangers nothing is kept"
        lines = session.scalars(select(AuditLine)).all()
        assert not any("@" in str(vars(line)) for line in lines)


def test_nobody_is_told_to_sendgrid_who_was_found_there(database: Database, double: RunningDouble) -> None:
    readers = make_readers(database, double, 3)
    double.list_addresses(unsubscribes=[("reader1@example.org", readers.at()), ("reader2@example.org", readers.at())])
    readers.leave("reader2@example.org")
    pull_all(readers)
    assert readers.entries() == {"reader1@example.org": "found", "reader2@example.org": "found"}
    assert readers.sync.push() == Pushed()


def test_who_left_here_is_told_to_sendgrid_once(database: Database, double: RunningDouble) -> None:
    readers = make_readers(database, double, 4)
    readers.leave("reader1@example.org")
    readers.suppress("reader2@example.org")
    readers.suppress("reader3@example.org", SuppressionReason.BOUNCED)
    readers.suppress("stranger@example.org")
    assert readers.sync.push() == Pushed(added=2)
    assert readers.unsubscribed_at_sendgrid() == set(addresses([1, 2]))
    assert readers.sync.push() == Pushed()


def test_a_database_that_is_locked_tells_sendgrid_nothing(database: Database, double: RunningDouble) -> None:
    readers = make_readers(database, double, 1)
    readers.leave("reader1@example.org")
    with database.write() as session:
        lock(session, "it is a copy", actor=SHELL, now=readers.clock.now())
    assert readers.sync.push() == Pushed()
    assert readers.unsubscribed_at_sendgrid() == set()


def test_for_a_database_that_is_locked_nothing_is_due(database: Database, double: RunningDouble) -> None:
    readers = make_readers(database, double, 2)
    double.list_addresses(bounces=[("reader1@example.org", readers.at())])
    with database.write() as session:
        lock(session, "it is a copy", actor=SHELL, now=readers.clock.now())
    readers.sync.look()
    assert readers.state("reader1@example.org") is SubscriberState.ACTIVE
    # Somebody who asks for it may read the lists: after a restore they know who left meanwhile.
    pull_all(readers)
    assert readers.state("reader1@example.org") is SubscriberState.SUPPRESSED


def test_unsubscribes_go_into_the_group_that_is_set(database: Database, double: RunningDouble) -> None:
    readers = make_readers(database, double, 2, group=7)
    readers.leave("reader1@example.org")
    assert readers.sync.push() == Pushed()
    assert readers.unsubscribed_at_sendgrid() == set(), "not from everything that the account sends"
    with database.read() as session:
        standing = get_standing(session)
    assert standing.waiting == 1
    assert "SENDGRID_UNSUBSCRIBE_GROUP" in standing.waiting_because

    double.list_addresses(groups=[7])
    assert readers.sync.push(all_waiting=True) == Pushed(added=1)
    assert (double.listed()["groups"], readers.unsubscribed_at_sendgrid()) == ({"7": ["reader1@example.org"]}, set())
    readers.clock.go(hours=1)
    readers.come_back("reader1@example.org")
    assert readers.sync.push() == Pushed(removed=1)
    assert double.listed()["groups"] == {"7": []}


@pytest.mark.parametrize("fault", ["429-retry-after:3000", "503", "503-after", "cut-before", "cut-after", "401"])
def test_who_could_not_be_told_waits_and_is_told_later(database: Database, double: RunningDouble, fault: str) -> None:
    readers = make_readers(database, double, 3)
    readers.leave("reader1@example.org")
    double.fail_lists(fault)
    assert readers.sync.push() == Pushed()
    with database.read() as session:
        standing = get_standing(session)
    assert standing.waiting == 1
    assert standing.waiting_because
    assert readers.sync.push() == Pushed(), "not before its time"
    readers.clock.go(seconds=3_001)
    assert readers.sync.push() == Pushed(added=1)
    assert readers.unsubscribed_at_sendgrid() == {"reader1@example.org"}
    with database.read() as session:
        assert (get_standing(session).waiting, get_standing(session).waiting_because) == (0, "")


def test_an_address_that_sendgrid_does_not_take_keeps_no_other_back(database: Database, double: RunningDouble) -> None:
    readers = make_readers(database, double, 9)
    with database.write() as session:
        # Such a domain is right by the standard, and more than the double knows of.
        people = [NewSubscriber("odd@xn--example.org", "en")]
        add_readers(session, people, now=readers.clock.now())
    for address in ("odd@xn--example.org", *addresses(range(1, 9))):
        with database.write() as session:
            row = session.scalars(select(Subscriber).where(Subscriber.address == address)).one()
            row.state = LEFT
    assert readers.sync.push() == Pushed(added=8)
    with database.read() as session:
        standing = get_standing(session)
    assert standing.waiting == 1
    assert "SendGrid refused" in standing.waiting_because


def test_who_comes_back_by_their_own_act_is_taken_off_and_stays(database: Database, double: RunningDouble) -> None:
    readers = make_readers(database, double, 3)
    readers.leave("reader1@example.org")
    readers.suppress("reader2@example.org")
    double.list_addresses(unsubscribes=[("reader3@example.org", readers.at())])
    pull_all(readers)
    readers.sync.push()
    readers.clock.go(hours=1)
    readers.come_back("reader1@example.org")
    readers.come_back("reader3@example.org")
    assert readers.sync.push() == Pushed(removed=1)
    assert readers.unsubscribed_at_sendgrid() == set(addresses([2, 3])), "we take nobody off whom we did not put there"
    pull_all(readers)
    assert readers.states() == dict(zip(addresses([1, 2, 3]), (ACTIVE, SUPPRESSED, ACTIVE), strict=True))

    readers.clock.go(hours=1)
    readers.leave("reader1@example.org")
    assert readers.sync.push() == Pushed(added=1)


def test_who_came_back_before_sendgrid_answered_is_taken_off(database: Database, double: RunningDouble) -> None:
    readers = make_readers(database, double, 1)
    readers.leave("reader1@example.org")
    double.fail_lists("cut-after")
    readers.sync.push()
    assert readers.unsubscribed_at_sendgrid() == {"reader1@example.org"}, "told, and nobody knows it"
    readers.clock.go(hours=1)
    readers.come_back("reader1@example.org")
    assert readers.sync.push() == Pushed(removed=1)
    assert readers.unsubscribed_at_sendgrid() == set()
    assert readers.entries() == {}


def test_an_import_after_the_unsubscribe_revives_nobody(database: Database, double: RunningDouble) -> None:
    readers = make_readers(database, double, 1)
    double.list_addresses(unsubscribes=[("reader1@example.org", readers.at() - 9 * 86_400)])
    pull_all(readers)
    assert readers.state("reader1@example.org") is LEFT


def test_a_complaint_is_never_taken_back(database: Database, double: RunningDouble) -> None:
    readers = make_readers(database, double, 1)
    readers.leave("reader1@example.org")
    readers.sync.push()
    readers.clock.go(hours=1)
    readers.come_back("reader1@example.org")
    double.list_addresses(spam_reports=[("reader1@example.org", readers.at() - 7_200)])
    pull_all(readers)
    assert readers.state("reader1@example.org") is SUPPRESSED
    assert readers.sync.push() == Pushed()
    assert readers.unsubscribed_at_sendgrid() == {"reader1@example.org"}


def test_of_who_was_erased_nothing_is_told_or_kept(database: Database, double: RunningDouble) -> None:
    readers = make_readers(database, double, 2)
    for address in addresses([1, 2]):
        readers.leave(address)
    double.fail_lists("503")
    readers.sync.push()
    with database.write() as session:
        row = session.scalars(select(Subscriber).where(Subscriber.address == "reader1@example.org")).one()
        row.state, row.address, row.address_key = SubscriberState.ERASED, None, None
    assert readers.sync.push(all_waiting=True) == Pushed(added=1)
    assert readers.unsubscribed_at_sendgrid() == {"reader2@example.org"}
    assert readers.entries() == {"reader2@example.org": "added"}


def test_a_reading_that_breaks_off_begins_at_the_same_place_again(database: Database, double: RunningDouble) -> None:
    readers = make_readers(database, double, 900)
    first = readers.at()
    double.list_addresses(bounces=[(address, first - n) for n, address in enumerate(addresses(range(1, 901)))])
    readers.clock.go(hours=1)
    double.fail_lists("pass*40", "503")
    pulled = readers.sync.pull(ListName.BOUNCES)
    assert pulled.trouble == "SendGrid answered 503."
    with database.read() as session:
        row = list_pulled(session)[ListName.BOUNCES]
        assert (row.pulled_until, row.trouble, row.failures) == (None, "SendGrid answered 503.", 1)
        assert row.not_before == readers.clock.now() + FIRST_WAIT
        assert get_standing(session).has_failed
        assert get_standing(session).last_whole is None

    again = readers.sync.pull(ListName.BOUNCES)
    assert pulled.new + again.new == 900
    with database.read() as session:
        row = list_pulled(session)[ListName.BOUNCES]
        assert (row.pulled_until, row.trouble, row.failures) == (readers.clock.now(), "", 0)
        assert not get_standing(session).has_failed


def test_a_reading_that_is_stopped_is_no_failure_and_no_progress(database: Database, double: RunningDouble) -> None:
    readers = make_readers(database, double, 1)
    double.list_addresses(bounces=[("reader1@example.org", readers.at())])
    stopped = readers.sync.pull(ListName.BOUNCES, lambda: True)
    assert stopped == Pulled(ListName.BOUNCES, 0, 0, "it was stopped before its end.")
    with database.read() as session:
        assert list_pulled(session) == {}


def test_a_look_reads_each_list_once_a_night_and_one_failure_hides_no_other(
    database: Database, double: RunningDouble
) -> None:
    readers = make_readers(database, double, 3)
    double.list_addresses(unsubscribes=[("reader1@example.org", readers.at())])
    readers.leave("reader2@example.org")
    double.fail_lists("503")
    readers.sync.look()
    assert readers.state("reader1@example.org") is LEFT
    assert "reader2@example.org" in readers.unsubscribed_at_sendgrid()
    with database.read() as session:
        troubles = {one.name: one.trouble for one in get_standing(session).lists}
    assert troubles.pop(ListName.SPAM_REPORTS) == "SendGrid answered 503."
    assert set(troubles.values()) == {""}

    double.list_addresses(unsubscribes=[("reader3@example.org", readers.at())])
    readers.clock.go(minutes=6)
    readers.sync.look()
    with database.read() as session:
        standing = get_standing(session)
    assert not standing.has_failed
    assert standing.last_whole == readers.clock.now() - timedelta(minutes=6)
    assert readers.state("reader3@example.org") is ACTIVE, "it was read this night already"
    readers.clock.go(days=1)
    readers.sync.look()
    assert readers.state("reader3@example.org") is LEFT
