"""The studio: only from this machine, and the inbox shows each mail as its reader would see it."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from newsletter.studio.inbox import LISTED
from newsletter.subscribers.tokens import Purpose
from newsletter.web import create_app
from tests.web.conftest import Client, Running


@pytest.mark.parametrize(
    ("base_url", "peer", "headers"),
    [
        ("http://localhost:8000", "203.0.113.9", {}),
        ("http://localhost:8000", "10.0.0.7", {}),
        ("http://evil.example:8000", "127.0.0.1", {}),
        ("http://127.0.0.1.evil.example", "127.0.0.1", {}),
        ("http://localhost:8000", "127.0.0.1", {"X-Forwarded-For": "203.0.113.9"}),
        ("http://localhost:8000", "127.0.0.1", {"Forwarded": "for=203.0.113.9"}),
    ],
)
def test_nobody_comes_in_from_elsewhere(client: Client, base_url: str, peer: str, headers: dict[str, str]) -> None:
    for address in ("/studio/inbox", "/studio/inbox/nd1x1/html", "/studio/static/studio.css", "/studio/nothing"):
        answer = client(base_url=base_url, peer=peer).get(address, headers=headers)
        assert answer.status_code == 403
        assert "reader" not in answer.text


@pytest.mark.parametrize("base_url", ["http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"])
def test_this_machine_comes_in(client: Client, base_url: str) -> None:
    assert client(base_url=base_url).get("/studio/inbox").status_code == 200


def test_a_public_web_has_no_studio(client: Client) -> None:
    assert client(public_only=True).get("/studio/inbox").status_code == 404


def test_an_installation_with_a_public_address_has_no_studio(running: Running) -> None:
    settings = running.site.settings
    machine = settings.machine.model_copy(update={"base_url": "https://news.clinic.example.org"})
    public = replace(running.site, settings=settings.model_copy(update={"machine": machine}))
    # As a bare `proxy_pass http://127.0.0.1:8000` of nginx passes a request from the internet on.
    behind_a_proxy = TestClient(create_app(public), base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50000))
    for address in ("/studio", "/studio/inbox", "/studio/inbox/nd1x1/html"):
        assert behind_a_proxy.get(address).status_code == 404


def test_the_inbox_lists_every_mail_and_opens_one(client: Client) -> None:
    page = client().get("/studio/inbox").text
    assert all(f"reader{number}@example.org" in page for number in (1, 2, 3))
    assert 'src="/studio/inbox/nd1x3/html"' in page


def test_a_long_list_ends_with_the_newest_and_says_so(running: Running, client: Client) -> None:
    assert "newest mails" not in client().get("/studio/inbox").text
    mailbox = running.site.settings.mailbox
    for number in range(LISTED):
        shutil.copy(mailbox / "nd1x1.eml", mailbox / f"copy{number}.eml")
    page = client().get("/studio/inbox").text
    assert page.count("<li>") == LISTED
    assert f"These are the {LISTED} newest mails; the older ones are in the folder var/mailbox." in page


def test_a_mail_is_shown_as_html_text_and_headers(running: Running, client: Client) -> None:
    html = client().get("/studio/inbox/nd1x1/html")
    assert "sandbox" in html.headers["content-security-policy"]
    assert f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}" in html.text
    text = client().get("/studio/inbox/nd1x1?view=text").text
    assert f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}</a>" in text
    source = client().get("/studio/inbox/nd1x1?view=source").text
    assert "List-Unsubscribe-Post" in source
    file = client().get("/studio/inbox/nd1x1/file")
    assert file.headers["content-type"] == "message/rfc822"
    assert file.content.startswith(b"From: ")


@pytest.mark.parametrize("name", ["nothing", "..%2f..%2f.env", "nd1x1.eml", "%2e%2e"])
def test_a_mail_that_is_not_there_is_said_kindly(client: Client, name: str) -> None:
    answer = client().get(f"/studio/inbox/{name}")
    assert answer.status_code == 404
    assert "SECRET" not in answer.text


def test_an_unknown_view_is_the_ordinary_one(client: Client) -> None:
    assert "iframe" in client().get("/studio/inbox/nd1x1?view=%3Cscript%3E").text
