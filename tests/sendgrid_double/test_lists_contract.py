"""Our requests about suppression lists, and the double's answers to them, against SendGrid's own description.

Collected only where the description is (see conftest.py).
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema_rs
import pytest

from newsletter.providers.sendgrid.lists import ListName
from newsletter.providers.sendgrid.suppressions import SendGridLists
from newsletter.sendgrid_double.suppressions import LISTS, Lists, Said
from tests.factories import NOON, StillClock
from tests.providers.sendgrid.test_suppressions import answering, http
from tests.sendgrid_double.conftest import LISTS_DESCRIPTION

SPEC: dict[str, Any] = json.loads(LISTS_DESCRIPTION.read_text("utf-8"))
ENTRY = json.dumps({name: [{"email": "ann@example.org", "created": 1_793_620_800}] for name in LISTS} | {"groups": [7]})


def described(path: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = SPEC["paths"][path][method]
    return found


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    while reference := part.get("$ref"):
        part = SPEC
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]
    return part


def assert_is_described(path: str, method: str, said: Said) -> None:
    answers = described(path, method)["responses"]
    assert str(said.status) in answers
    content = resolved(answers[str(said.status)]).get("content")
    if content is None:
        assert said.body == b""
        return
    schema = {**content["application/json"]["schema"], "components": SPEC["components"]}
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(json.loads(said.body))


def filled() -> Lists:
    lists = Lists()
    assert lists.fill(ENTRY.encode()).status == 200
    return lists


@pytest.mark.parametrize("name", LISTS)
def test_a_page_of_the_double_is_as_described(name: str) -> None:
    page = filled().page(name, {"limit": "500", "start_time": "0", "end_time": "1793620800"})
    assert len(json.loads(page.body)) == 1
    assert_is_described(f"/v3/suppression/{name}", "get", page)


def test_what_else_the_double_says_is_as_described() -> None:
    lists, body = filled(), b'{"recipient_emails": ["bo@example.org"]}'
    assert_is_described("/v3/asm/suppressions/global", "post", lists.add(body, 1))
    assert_is_described("/v3/asm/suppressions/global/{email}", "get", lists.find("bo@example.org"))
    assert_is_described("/v3/asm/suppressions/global/{email}", "delete", lists.remove("bo@example.org"))
    assert_is_described("/v3/asm/groups/{group_id}", "get", lists.group(7))
    assert_is_described("/v3/asm/groups/{group_id}/suppressions", "post", lists.add(body, 1, 7))
    assert_is_described("/v3/asm/groups/{group_id}/suppressions/{email}", "delete", lists.remove("bo@example.org", 7))


def test_the_double_adds_to_all_unsubscribes_for_a_group_that_is_gone() -> None:
    lists = filled()
    assert lists.add(b'{"recipient_emails": ["bo@example.org"]}', 1, 8).status == 201
    assert "bo@example.org" in lists.entries["unsubscribes"]


def _asked(request: bytes) -> tuple[str, str, dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
    parts = urlsplit(target)
    return method.lower(), parts.path, dict(parse_qsl(parts.query)), body


@pytest.mark.parametrize("name", ListName)
def test_our_question_for_a_page_is_as_described(name: ListName) -> None:
    with answering(http("200 OK", b"[]")) as (host, requests):
        assert list(SendGridLists("SG.x", host, StillClock(), pause=0).pages(name, NOON, NOON)) == [[]]
    method, path, query, _ = _asked(requests[0])
    parameters = {one["name"]: one for one in map(resolved, described(path, method)["parameters"])}
    for key, value in query.items():
        jsonschema_rs.validator_for(parameters[key]["schema"]).validate(int(value))
    assert query.keys() == {"start_time", "end_time", "limit", "offset"}


def test_our_request_to_add_is_as_described() -> None:
    with answering(http("201 Created", b'{"recipient_emails": ["ann@example.org"]}')) as (host, requests):
        SendGridLists("SG.x", host, StillClock()).add(["ann@example.org"], None)
    method, path, _, body = _asked(requests[0])
    schema = resolved(described(path, method)["requestBody"])["content"]["application/json"]["schema"]
    validator = jsonschema_rs.validator_for({**schema, "components": SPEC["components"]}, validate_formats=True)
    assert not validator.is_valid({"recipient_emails": ["nobody"]})
    validator.validate(json.loads(body))
