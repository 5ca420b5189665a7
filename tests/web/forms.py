"""The sign-up form as a browser fills it in and sends it."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

from httpx2 import Response
from sqlalchemy import select
from starlette.testclient import TestClient

from newsletter.public.sign_up_form import FILLED_IN_AT_LEAST
from newsletter.subscribers.tables import ReaderNotice, SignUp
from newsletter.subscribers.tokens import Bearer, Purpose
from tests.web.conftest import Running

OWN = {"Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"}
"""What a browser tells that posts from one of our pages."""


def hidden_fields(page: str) -> dict[str, str]:
    """The fields of a page's forms that nobody sees but the browser."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page)
    return {name: unescape(value) for name, value in found}


def filled_in(running: Running, client: TestClient, address: str, path: str = "/subscribe", **more: Any) -> Any:
    """The fields of the form, opened, read and ticked."""
    fields = hidden_fields(client.get(path).text)
    running.clock.go(seconds=FILLED_IN_AT_LEAST.total_seconds())
    return {**fields, "address": address, "consent": "yes", "language": "en", **more}


def sign_up(running: Running, client: TestClient, address: str, **more: Any) -> Response:
    """Somebody signs up on the page."""
    answer: Response = client.post("/subscribe", data=filled_in(running, client, address, **more), headers=OWN)
    return answer


def confirm_link(running: Running) -> str:
    """The link in the newest mail that asks to confirm a sign-up."""
    with running.site.database.read() as session:
        row = session.scalars(select(SignUp).order_by(SignUp.number.desc())).first()
        assert row is not None
    bearer = Bearer(row.subscriber, row.number)
    return f"/confirm/{running.site.tokens.sign(Purpose.CONFIRM, bearer, expires=row.expires_at)}"


def mails_wanted(running: Running) -> list[str]:
    """What readers are to be mailed, oldest first."""
    with running.site.database.read() as session:
        return [row.kind.value for row in session.scalars(select(ReaderNotice).order_by(ReaderNotice.number))]


def choices_link(running: Running, subscriber: int) -> str:
    """A fresh link to all that somebody chose, as it is mailed to them when they ask."""
    expires = running.clock.now() + timedelta(minutes=30)
    return f"/preferences/{running.site.tokens.sign(Purpose.CHOICES, Bearer(subscriber), expires=expires)}"
