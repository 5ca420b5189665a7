"""The double against SendGrid's own description: whatever that refuses, the double refuses too.

Collected only where the description is (see conftest.py). Its known defects are mended in memory.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from newsletter.sendgrid_double.letters import write_letters
from newsletter.sendgrid_double.rules import judge
from tests.sendgrid_double.conftest import DESCRIPTION
from tests.sendgrid_double.requests import GONE, NOW, changed, good_request, to_bytes
from tests.sendgrid_double.test_rules import BROKEN, KEPT

SPEC: dict[str, Any] = json.loads(DESCRIPTION.read_text("utf-8"))
BODY: dict[str, Any] = SPEC["components"]["requestBodies"]["PostMailSend"]["content"]["application/json"]


def _mended() -> dict[str, Any]:
    """The schema with what the description says in prose only, or wrongly."""
    strings = {"type": "object", "additionalProperties": {"type": "string"}}
    return changed(
        {**BODY["schema"], "components": SPEC["components"]},
        ("properties.custom_args", strings),
        ("properties.headers", strings),
        ("properties.personalizations.minItems", 1),
        ("properties.personalizations.items.properties.to.minItems", 1),
        ("properties.personalizations.items.properties.custom_args", strings),
        ("properties.personalizations.items.properties.headers", strings),
        ("properties.content.minItems", 1),
    )


SENDGRID = jsonschema_rs.validator_for(_mended(), validate_formats=True)


def double_takes(request: object) -> bool:
    return judge(to_bytes(request), "application/json", NOW).status in (200, 202)


def test_the_description_is_the_one_that_is_meant() -> None:
    assert SENDGRID.is_valid(good_request())
    assert not SENDGRID.is_valid(changed(good_request(), ("from.email", "nobody")))
    assert not SENDGRID.is_valid(changed(good_request(), ("personalizations.0.substitutions", {"a": 1})))


@pytest.mark.parametrize("name", BODY["examples"])
def test_the_double_takes_what_sendgrid_shows(name: str) -> None:
    shown = BODY["examples"][name]["value"]
    # This address stands in both; and its time is past, which is no fault.
    assert judge(to_bytes(shown), "application/json", NOW).errors == ()


@pytest.mark.parametrize(("path", "value"), KEPT, ids=range(len(KEPT)))
def test_the_description_takes_what_we_hold_for_kept(path: str, value: object) -> None:
    request = changed(good_request(), (path, value))
    assert [error.message for error in SENDGRID.iter_errors(request)] == []


def test_the_double_refuses_more_than_the_description_can_say() -> None:
    broken = [changed(good_request(), (path, value)) for path, value, _ in BROKEN]
    refused = [request for request in broken if not SENDGRID.is_valid(request)]
    assert 40 < len(refused) < len(broken)
    assert not any(map(double_takes, broken))


def _paths(value: Any, before: str = "") -> list[str]:
    """The path of every value in a request."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for step, inner in pairs:
        path = f"{before}.{step}" if before else str(step)
        if "." not in str(step):
            found += [path, *_paths(inner, path)]
    return found


FULL = good_request(
    categories=["letters"],
    custom_args={"send": "1"},
    headers={"X-A": "a"},
    send_at=int((NOW + timedelta(hours=1)).timestamp()),
    batch_id="b",
    asm={"group_id": 1, "groups_to_display": [1, 2]},
    ip_pool_name="pool",
    attachments=[{"content": "aGVsbG8=", "filename": "a.txt", "type": "text/plain", "disposition": "attachment"}],
    mail_settings={"footer": {"enable": False, "text": "a"}, "bypass_list_management": {"enable": False}},
    tracking_settings={
        "click_tracking": {"enable": False},
        "open_tracking": {"enable": False, "substitution_tag": "x"},
        "subscription_tracking": {"enable": False, "html": "x"},
        "ganalytics": {"enable": False, "utm_term": "x"},
    },
)
FULL = changed(
    FULL,
    ("personalizations.0.cc", [{"email": "cc@example.org", "name": "C"}]),
    ("personalizations.0.from", {"email": "other@example.org"}),
    ("personalizations.0.subject", "Own"),
    ("personalizations.0.send_at", 0),
)

WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["x" * 64, "x" * 65, "x" * 256, "text/html", "inline", "-x-", "\x00", "\x85", "a\u2028b", "d-" + "0" * 32]
    ),
)
ADDRESSES = st.one_of(
    st.emails(),
    st.from_regex(r"[a-z\"({}.+@ -]{0,9}@[a-z0-9_.\[:-]{0,14}", fullmatch=True),
    st.from_regex(r"a@(xn--|a--|-)?[a-z0-9-]{0,9}\.(org|x|1|xn--p1ai)", fullmatch=True),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=4,
)
CHANGES = st.lists(
    st.tuples(st.sampled_from(_paths(FULL)), st.one_of(st.just(GONE), WORDS, ADDRESSES, VALUES)), min_size=1, max_size=3
)


@settings(max_examples=1_000, deadline=None)
@example([("from.email", '"a b"@example.org')])
@example([("send_at", 1.0)])
@example([("personalizations.1.headers.List-Unsubscribe", "\x80")])
@given(CHANGES)
def test_whatever_the_description_refuses_the_double_refuses_too(changes: list[tuple[str, object]]) -> None:
    request = FULL
    for change in changes:
        try:
            request = changed(request, change)
        except (LookupError, TypeError):
            # An earlier change took the place of this one away.
            continue
    verdict = judge(to_bytes(request), "application/json", NOW)
    assert verdict.status in (202, 400)
    if not SENDGRID.is_valid(request):
        assert verdict.status == 400
    if verdict.request:
        # What is taken can be written, too.
        assert all(letter.isascii() for _, letter in write_letters(verdict.request, "0" * 22, NOW))


@settings(max_examples=500, deadline=None)
@example("a@A.XN--P1AI")
@given(ADDRESSES)
def test_an_address_that_the_description_refuses_the_double_refuses_too(address: str) -> None:
    request = changed(good_request(), ("personalizations.0.to.0.email", address))
    if not SENDGRID.is_valid(request):
        assert not double_takes(request)
