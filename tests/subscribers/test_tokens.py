"""A link is good for one person, one purpose, and as long as it was meant to be."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.errors import Refused
from newsletter.subscribers.tokens import Bearer, LinkRefused, Purpose, Tokens
from tests.factories import NOON

TOKENS = Tokens(["new key", "old key"])
NUMBERS = st.integers(0, 2**62)


@given(NUMBERS, NUMBERS, st.sampled_from(Purpose))
def test_a_token_says_whom_it_is_for_and_nothing_opens_another_purpose(
    who: int, edition: int, purpose: Purpose
) -> None:
    token = TOKENS.sign(purpose, Bearer(who, edition))
    assert TOKENS.read(purpose, token, now=NOON + timedelta(days=36_500)) == Bearer(who, edition)
    assert re.fullmatch(r"[0-9a-f]{32}[0-9a-f.]*[0-9a-f]", token)
    assert TOKENS.read(purpose, token.upper(), now=NOON) == Bearer(who, edition), "whatever a mail program makes of it"
    for other in set(Purpose) - {purpose}:
        with pytest.raises(LinkRefused):
            TOKENS.read(other, token, now=NOON)


@given(NUMBERS, st.data())
def test_a_changed_token_is_refused(who: int, data: st.DataObject) -> None:
    token = TOKENS.sign(Purpose.UNSUBSCRIBE, Bearer(who))
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("09afzAFZ-_.").filter(lambda sign: sign.lower() != token[at]))
    changed = token[:at] + other + token[at + 1 :]
    with pytest.raises(LinkRefused):
        TOKENS.read(Purpose.UNSUBSCRIBE, changed, now=NOON)


@given(st.text(min_size=1, max_size=200).filter(str.strip), st.lists(NUMBERS), NUMBERS, st.sampled_from(Purpose))
def test_many_tokens_are_those_that_are_signed_one_by_one_and_the_mac_is_that_of_rfc_7693(
    key: str, people: list[int], edition: int, purpose: Purpose
) -> None:
    tokens = Tokens([key])
    signed = list(tokens.sign_each(purpose, Purpose.CONFIRM, people, edition))
    assert [one for one, _ in signed] == [tokens.sign(purpose, Bearer(who, edition)) for who in people]
    assert [other for _, other in signed] == [tokens.sign(Purpose.CONFIRM, Bearer(who, edition)) for who in people]
    for token, _ in signed:
        secret = key.strip().encode()
        secret = secret if len(secret) <= 64 else hashlib.blake2b(secret).digest()
        mac = hashlib.blake2b(token[32:].encode(), key=secret, digest_size=16, person=purpose.value.encode())
        assert token[:32] == mac.hexdigest()


def test_links_in_mails_of_years_ago_still_hold() -> None:
    assert TOKENS.sign(Purpose.UNSUBSCRIBE, Bearer(123_456, 7)) == "34a6d5fac20ab17b3e3f616c9180401c1e240.7"


@given(st.text(max_size=60))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(LinkRefused):
        TOKENS.read(Purpose.UNSUBSCRIBE, text, now=NOON)


def test_old_keys_still_verify_and_strange_keys_do_not() -> None:
    old = Tokens(["old key"]).sign(Purpose.UNSUBSCRIBE, Bearer(7))
    assert TOKENS.read(Purpose.UNSUBSCRIBE, old, now=NOON) == Bearer(7)
    with pytest.raises(LinkRefused):
        TOKENS.read(Purpose.UNSUBSCRIBE, Tokens(["another"]).sign(Purpose.UNSUBSCRIBE, Bearer(7)), now=NOON)
    with pytest.raises(Refused, match="SECRET_KEY"):
        Tokens(["", " "])


def test_a_link_that_expires_does() -> None:
    token = TOKENS.sign(Purpose.CONFIRM, Bearer(7), expires=NOON)
    assert TOKENS.read(Purpose.CONFIRM, token, now=NOON - timedelta(seconds=1)) == Bearer(7)
    with pytest.raises(LinkRefused, match="expired"):
        TOKENS.read(Purpose.CONFIRM, token, now=NOON)
