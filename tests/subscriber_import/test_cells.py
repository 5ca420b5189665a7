"""A cell is read as one address or not at all, and what is plain is read fast as it would be with care."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.subscriber_import.cells import read_address
from newsletter.subscriber_import.model import Doubt, Reason
from newsletter.subscriber_import.spreadsheets import guarded
from newsletter.subscribers.address import AddressRefused, check_address


@pytest.mark.parametrize(
    ("cell", "address"),
    [
        ("ann@example.org", "ann@example.org"),
        (" Ann@EXAMPLE.org\u00a0", "Ann@example.org"),
        ("\ufeffann@exam\u200bple.org", "ann@example.org"),
        ("mailto:ann@example.org?subject=Hello", "ann@example.org"),
        ("Ann Ash <ann@example.org>", "ann@example.org"),
        ('"Ash, Ann" <ann@example.org>', "ann@example.org"),
        ("<ann@example.org>", "ann@example.org"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("ann+news@example.org", "ann+news@example.org"),
        ("o'hara@example.org", "o'hara@example.org"),
        ("'o@example.org", "'o@example.org"),
        ("'+tag@example.org", "+tag@example.org"),
    ],
)
def test_what_comes_with_copying_is_taken_away_and_nothing_else(cell: str, address: str) -> None:
    assert read_address(cell).address == address


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("", Reason.NO_ADDRESS),
        ("\u200b \u00a0", Reason.NO_ADDRESS),
        ("ann", Reason.NO_EMAIL),
        ("ann@", Reason.NO_EMAIL),
        ("=HYPERLINK(1)@example.org", Reason.NO_EMAIL),
        ("ann@example.org\0", Reason.NO_EMAIL),
        ("a@b" * 5_000, Reason.NO_EMAIL),
        ("ann@example.org; bob@example.org", Reason.TWO_ADDRESSES),
        ("ann@example.org bob@example.org", Reason.TWO_ADDRESSES),
        ("ann@example.org/bob@example.org", Reason.TWO_ADDRESSES),
        ("grüße@example.org", Reason.UNREACHABLE),
    ],
)
def test_what_is_not_one_address_is_refused_with_its_reason(cell: str, reason: Reason) -> None:
    assert read_address(cell)[:2] == (None, reason)


def test_slips_and_roles_are_doubted_and_not_mended() -> None:
    assert read_address("eve@gmial.com")[:3] == ("eve@gmial.com", None, Doubt.TYPO)
    assert read_address("eve@clinic.con").note == "clinic.con: did they mean clinic.com?"
    assert read_address("Info@example.org").doubt is Doubt.ROLE
    assert read_address("eve@gmail.com").doubt is None


PLAIN = st.text("abcXYZ019._+-", min_size=1, max_size=70)
DOMAINS = st.sampled_from(["example.org", "EXAMPLE.ORG", "bücher.example", "-x.org", "a..b", "x", "example.org."])


@given(st.one_of(st.text(), st.emails(), st.builds("{}@{}".format, PLAIN, DOMAINS)))
def test_the_fast_way_says_what_the_careful_way_says(cell: str) -> None:
    read = read_address(cell)
    if read.address is not None:
        assert read.address == check_address(read.address), "what was read needs no further change"
    try:
        with_care = check_address(cell)
    except AddressRefused:
        return
    # Where the whole cell is an address to `check_address`, it is that address.
    if not cell.lstrip().startswith("'"):
        assert read.address == with_care


@given(st.one_of(st.text(), st.sampled_from("'+-=@\t\r\0＝＋－＠").flatmap(lambda mark: st.emails().map(mark.__add__))))
def test_no_cell_that_is_written_out_begins_like_a_formula(cell: str) -> None:
    written = guarded(cell)
    assert not written.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠"))
    assert written in (cell, f"'{cell}")
    assert read_address(written) == read_address(cell) or cell.startswith("'")


@given(st.emails())
def test_an_address_that_is_written_out_is_read_back(address: str) -> None:
    try:
        checked = check_address(address)
    except AddressRefused:
        return
    assert read_address(guarded(checked)).address == checked
