"""Each limit of mail/send, just kept and just broken."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from newsletter.sendgrid_double.rules import TOO_LARGE, Verdict, judge
from tests.sendgrid_double.requests import GONE, NOW, changed, good_request, to_bytes

JSON = "application/json"
P0, P1 = "personalizations.0", "personalizations.1"


def people(count: int, first: int = 0) -> list[dict[str, str]]:
    return [{"email": f"reader{number}@example.org"} for number in range(first, first + count)]


def personalizations(count: int) -> list[dict[str, Any]]:
    return [{"to": [person]} for person in people(count)]


def after(**passed: float) -> int:
    return int((NOW + timedelta(**passed)).timestamp())


def parts(*types: str) -> list[dict[str, str]]:
    return [{"type": kind, "value": "x"} for kind in types]


def address(length: int) -> str:
    domain = ".".join(["d" * 60] * 4)
    return f"{'a' * (length - len(domain) - 1)}@{domain}"


def values(size: int) -> dict[str, str]:
    """Of this many bytes as JSON."""
    made = {"{{a}}": "é"}
    made["{{b}}"] = "x" * (size - len(orjson.dumps({**made, "{{b}}": ""})))
    return made


KEPT: list[tuple[str, object]] = [
    ("personalizations", personalizations(1)),
    ("personalizations", personalizations(1000)),
    ("personalizations", [{"to": people(400), "cc": people(300, 400), "bcc": people(300, 700)}]),
    (f"{P0}.to.0.email", address(64 + 1 + 243)),
    (f"{P0}.to.0.email", "{{tag}}+x@xn--mnster-3ya.example.org"),
    (f"{P0}.to.0.name", "Ana von Übel"),
    ("from.name", "Clinic, The; Üsküdar"),
    (f"{P0}.from", {"email": "other@EXAMPLE.org"}),
    (f"{P0}.subject", "x"),
    ("subject", "x" * 2000),
    (f"{P0}.substitutions", values(10_000)),
    (f"{P0}.substitutions", {}),
    (f"{P0}.custom_args", values(10_000)),
    ("custom_args", {"send": "1"}),
    (f"{P0}.headers", {"X-Any-Name!": "é"}),
    ("headers", {"X-A": ""}),
    ("categories", [f"{number}" for number in range(10)]),
    ("categories", ["x" * 255]),
    ("asm", {"group_id": 1, "groups_to_display": list(range(25))}),
    ("send_at", after(hours=72)),
    ("send_at", after(days=-400)),
    (f"{P0}.send_at", after(hours=72)),
    ("content", parts("text/plain")),
    ("content", parts("text/html")),
    ("content", parts("text/plain", "text/html", "text/x-amp-html")),
    ("ip_pool_name", "ab"),
    ("ip_pool_name", "x" * 64),
    ("batch_id", "made elsewhere"),
    ("attachments", [{"content": "aGVsbG8=", "filename": "hello.txt", "disposition": "inline", "content_id": "a"}]),
    ("mail_settings", {"bypass_spam_management": {"enable": True}, "bypass_bounce_management": {"enable": True}}),
    ("mail_settings", {"bypass_list_management": {"enable": True}, "bypass_spam_management": {"enable": False}}),
    ("tracking_settings.ganalytics", {"enable": True, "utm_source": "x"}),
    ("tracking_settings.subscription_tracking", {"enable": True, "text": "a", "html": "b", "substitution_tag": "c"}),
]

BROKEN: list[tuple[str, object, str]] = [
    ("personalizations", GONE, "personalizations"),
    ("personalizations", [], "personalizations"),
    ("personalizations", {}, "personalizations"),
    ("personalizations", personalizations(1001), "personalizations"),
    ("personalizations", [{"to": people(400), "cc": people(300, 400), "bcc": people(301, 700)}], "personalizations"),
    (f"{P1}.to", GONE, f"{P1}.to"),
    (f"{P1}.to", [], f"{P1}.to"),
    (f"{P1}.to", None, f"{P1}.to"),
    (f"{P1}.to", {"email": "a@example.org"}, f"{P1}.to"),
    (f"{P1}.to.0", "a@example.org", f"{P1}.to.0"),
    (f"{P1}.to.0.email", GONE, f"{P1}.to.0.email"),
    (f"{P1}.to.0.email", "", f"{P1}.to.0.email"),
    (f"{P1}.to.0.email", "nobody", f"{P1}.to.0.email"),
    (f"{P1}.to.0.email", "a@@example.org", f"{P1}.to.0.email"),
    (f"{P1}.to.0.email", "a..b@example.org", f"{P1}.to.0.email"),
    (f"{P1}.to.0.email", ".a@example.org", f"{P1}.to.0.email"),
    (f"{P1}.to.0.email", "a b@example.org", f"{P1}.to.0.email"),
    (f"{P1}.to.0.email", "a@example.org\n", f"{P1}.to.0.email"),
    (f"{P1}.to.0.email", "a@-example.org", f"{P1}.to.0.email"),
    (f"{P1}.to.0.email", "a@localhost", f"{P1}.to.0.email"),
    (f"{P1}.to.0.email", "jürgen@example.org", f"{P1}.to.0.email"),
    (f"{P1}.to.0.email", "a@münster.example.org", f"{P1}.to.0.email"),
    (f"{P1}.to.0.email", "a@xn--a.example.org", f"{P1}.to.0.email"),
    (f"{P1}.to.0.email", "a" * 65 + "@example.org", f"{P1}.to.0.email"),
    (f"{P1}.to.0.email", address(321), f"{P1}.to.0.email"),
    (f"{P1}.to.0.email", 1, f"{P1}.to.0.email"),
    (f"{P1}.to.0.name", "Li, Wei", f"{P1}.to.0.name"),
    (f"{P1}.cc", [{"email": "a@example.org", "name": "Li; Wei"}], f"{P1}.cc.0.name"),
    (f"{P1}.bcc", [{"email": "a@example.org", "name": "Li\nWei"}], f"{P1}.bcc.0.name"),
    (f"{P1}.to.0.name", None, f"{P1}.to.0.name"),
    (f"{P1}.to.0.nmae", "Ana", f"{P1}.to.0.nmae"),
    (f"{P1}.to.1", {"email": "BASHIR@example.org"}, f"{P1}.to"),
    (f"{P1}.cc", [{"email": "bashir@Example.org"}], f"{P1}.cc"),
    (f"{P1}.bcc", [{"email": "bashir@example.org"}], f"{P1}.bcc"),
    (f"{P1}.to.0.email", "ana@example.org", f"{P1}.to"),
    (f"{P1}.from", {"email": "clinic@other.example.org"}, f"{P1}.from"),
    (f"{P1}.subject", "", f"{P1}.subject"),
    (f"{P1}.subject", 1, f"{P1}.subject"),
    (f"{P1}.substitutions", values(10_001), f"{P1}.substitutions"),
    (f"{P1}.substitutions", {"{{a}}": 1}, f"{P1}.substitutions"),
    (f"{P1}.substitutions", {"{{a}}": None}, f"{P1}.substitutions"),
    (f"{P1}.substitutions", {"": "x"}, f"{P1}.substitutions"),
    (f"{P1}.substitutions", [], f"{P1}.substitutions"),
    (f"{P1}.custom_args", values(10_001), f"{P1}.custom_args"),
    (f"{P1}.custom_args", {}, f"{P1}.custom_args"),
    (f"{P1}.custom_args", {"a": ""}, f"{P1}.custom_args"),
    (f"{P1}.custom_args", {"a": 1}, f"{P1}.custom_args"),
    ("custom_args", {"big": "x" * 9_970}, f"{P0}.custom_args"),
    ("custom_args", "a", "custom_args"),
    (f"{P1}.headers", {"X-A": 1}, f"{P1}.headers"),
    (f"{P1}.headers", {"X-A": "a\r\nBcc: a@example.org"}, f"{P1}.headers"),
    (f"{P1}.headers", {"X A": "a"}, f"{P1}.headers"),
    (f"{P1}.headers", {"X-Ä": "a"}, f"{P1}.headers"),
    (f"{P1}.headers", {"X:A": "a"}, f"{P1}.headers"),
    (f"{P1}.headers", {"X-A": "a", "x-a": "b"}, f"{P1}.headers"),
    (f"{P1}.headers", {"reply-TO": "a@example.org"}, f"{P1}.headers"),
    ("headers", {"DKIM-Signature": "a"}, "headers"),
    ("headers", {"X-SG-EID": "a"}, "headers"),
    (f"{P1}.send_at", after(hours=72, seconds=1), f"{P1}.send_at"),
    ("send_at", after(hours=72, seconds=1), "send_at"),
    ("send_at", int(NOW.timestamp() * 1000), "send_at"),
    ("send_at", "1700000000", "send_at"),
    ("send_at", 1700000000.5, "send_at"),
    ("send_at", True, "send_at"),
    (f"{P1}.subsitutions", {"{{a}}": "b"}, f"{P1}.subsitutions"),
    ("from", GONE, "from"),
    ("from.email", GONE, "from.email"),
    ("from.email", "clinic", "from.email"),
    ("reply_to.email", "nobody", "reply_to.email"),
    ("reply_to_list", [{"email": "a@example.org"}], "reply_to_list"),
    ("subject", GONE, "subject"),
    ("subject", "", "subject"),
    ("subject", "a\nb", "subject"),
    ("content", GONE, "content"),
    ("content", [], "content"),
    ("content", "text", "content"),
    ("content", parts("text/html", "text/plain"), "content"),
    ("content", parts("text/x-amp-html", "text/html"), "content"),
    ("content", parts("text/html", "text/html"), "content"),
    ("content", parts("text/html;charset=utf-8"), "content.0.type"),
    ("content", parts("text/html\r\n"), "content.0.type"),
    ("content", parts(""), "content.0.type"),
    ("content.1.value", "", "content.1.value"),
    ("content.1.value", GONE, "content.1.value"),
    ("categories", [f"{number}" for number in range(11)], "categories"),
    ("categories", ["a", "a"], "categories"),
    ("categories", ["x" * 256], "categories.0"),
    ("categories", ["ä"], "categories.0"),
    ("categories", [1], "categories.0"),
    ("asm", {}, "asm.group_id"),
    ("asm", {"group_id": "1"}, "asm.group_id"),
    ("asm", {"group_id": 1, "groups_to_display": list(range(26))}, "asm.groups_to_display"),
    ("asm", None, "asm"),
    ("batch_id", 1, "batch_id"),
    ("ip_pool_name", "x", "ip_pool_name"),
    ("ip_pool_name", "x" * 65, "ip_pool_name"),
    ("template_id", "letter", "template_id"),
    ("template_id", f"d-{'0' * 32}", f"{P0}.substitutions"),
    ("attachments", [{"content": "nothing!", "filename": "a"}], "attachments.0.content"),
    ("attachments", [{"content": "aGVsbG8="}], "attachments.0.filename"),
    ("attachments", [{"content": "aGVsbG8=", "filename": "a", "disposition": "x"}], "attachments.0.disposition"),
    ("mail_settings.sandbox_mode", {"enable": "true"}, "mail_settings.sandbox_mode.enable"),
    (
        "mail_settings",
        {"bypass_list_management": {"enable": True}, "bypass_bounce_management": {"enable": True}},
        "mail_settings.bypass_list_management",
    ),
    ("tracking_settings.click_tracking.enable", 0, "tracking_settings.click_tracking.enable"),
    ("tracking_settings.open_tracking", {"enabled": False}, "tracking_settings.open_tracking.enabled"),
    ("sections", {"a": "b"}, "sections"),
    ("personalisations", [], "personalisations"),
]


def verdict(request: object, **options: bool) -> Verdict:
    return judge(to_bytes(request), JSON, NOW, **options)


def test_a_good_request_is_taken() -> None:
    assert verdict(good_request()).status == 202


@pytest.mark.parametrize(("path", "value"), KEPT, ids=range(len(KEPT)))
def test_what_just_keeps_a_limit_is_taken(path: str, value: object) -> None:
    assert verdict(changed(good_request(), (path, value))).errors == ()


@pytest.mark.parametrize(("path", "value", "field"), BROKEN, ids=range(len(BROKEN)))
def test_what_just_breaks_a_limit_is_refused_by_name(path: str, value: object, field: str) -> None:
    found = verdict(changed(good_request(), (path, value)))
    assert found.status == 400
    assert found.errors[0].field == field
    assert orjson.loads(found.body())["errors"][0].keys() == {"message", "field", "help"}


def test_one_bad_person_among_a_thousand_refuses_all_by_number() -> None:
    request = changed(good_request(personalizations=personalizations(1000)), ("personalizations.731.to.0.email", "x"))
    assert [error.field for error in verdict(request).errors] == ["personalizations.731.to.0.email"]


def test_no_error_repeats_an_address() -> None:
    for path, value, _ in BROKEN:
        body = verdict(changed(good_request(), (path, value))).body()
        assert b"@example" not in body.lower(), path


def test_an_address_may_stand_in_two_personalizations_where_that_is_allowed() -> None:
    twice = changed(good_request(), (f"{P1}.to.0.email", "ana@example.org"))
    assert verdict(twice, unique_addresses=False).status == 202
    assert verdict(changed(twice, (f"{P1}.cc", [{"email": "ana@example.org"}])), unique_addresses=False).status == 400


def test_every_personalization_may_have_its_own_subject_instead() -> None:
    own = changed(good_request(), ("subject", GONE), (f"{P0}.subject", "a"), (f"{P1}.subject", "b"))
    assert verdict(own).status == 202
    assert verdict(changed(own, (f"{P1}.subject", GONE))).status == 400


def test_a_template_brings_subject_and_content() -> None:
    bare = changed(good_request(), ("subject", GONE), ("content", GONE), ("template_id", "0" * 32))
    assert verdict(bare).status == 202


def test_several_people_may_get_the_answers() -> None:
    several = changed(good_request(), ("reply_to", GONE), ("reply_to_list", people(2)))
    assert verdict(several).status == 202
    assert verdict(changed(several, ("reply_to_list.1.email", "READER0@example.org"))).status == 400


def test_sandbox_mode_answers_200_and_checks_all_the_same() -> None:
    tried = good_request(mail_settings={"sandbox_mode": {"enable": True}})
    assert verdict(tried).status == 200
    assert verdict(changed(tried, ("subject", ""))).status == 400


def test_the_size_of_a_request_is_limited_and_said_by_the_web_server() -> None:
    request = good_request()
    request["content"][1]["value"] = ""
    room = TOO_LARGE - 1 - len(to_bytes(request))
    request["content"][1]["value"] = "x" * room
    assert verdict(request).status == 202
    request["content"][1]["value"] += "x"
    refused = verdict(request)
    assert (refused.status, refused.content_type) == (413, "text/html")
    assert b"nginx" in refused.body()


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"]
)
def test_json_is_taken(kind: str) -> None:
    assert judge(to_bytes(good_request()), kind, NOW).status == 202


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=x"])
def test_another_type_is_refused(kind: str) -> None:
    assert judge(to_bytes(good_request()), kind, NOW).status == 415


@pytest.mark.parametrize("body", [b'{"subject": "\xff"}', to_bytes(good_request()).decode().encode("utf-16")])
def test_what_is_not_utf_8_is_refused(body: bytes) -> None:
    assert judge(body, JSON, NOW).status == 415


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"[" * 100_000, b'"\\ud800"'])
def test_what_is_no_json_object_is_a_bad_request(body: bytes) -> None:
    refused = judge(body, JSON, NOW)
    assert refused.status == 400
    assert orjson.loads(refused.body()) == {"errors": [{"message": "Bad Request", "field": None, "help": None}]}
