"""What SendGrid says of a key: one small question, for `doctor`."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

import orjson

from newsletter.providers.connections import http_connection

TIMEOUT = 5.0
"""Seconds for connecting and for the answer, each."""

MAIL_SEND = "mail.send"
"""The scope that a key needs to hand mails over."""


@dataclass(frozen=True)
class KeyAnswer:
    """What was answered about a key: the HTTP status, what it may do, and SendGrid's time, where it told."""

    status: int
    scopes: frozenset[str]
    time: datetime | None


def ask_about_key(key: str, host: str) -> KeyAnswer:
    """What a key may do, by GET /v3/scopes; raises OSError when SendGrid cannot be asked."""
    connection = http_connection(host, TIMEOUT)
    try:
        connection.request("GET", "/v3/scopes", headers={"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        body, date = answer.read(100_000), answer.getheader("Date")
    except http.client.HTTPException as error:
        raise OSError(type(error).__name__) from None
    finally:
        connection.close()
    return KeyAnswer(answer.status, _scopes(body), _time(date))


def _scopes(body: bytes) -> frozenset[str]:
    try:
        return frozenset(map(str, orjson.loads(body)["scopes"]))
    except (ValueError, TypeError, KeyError):
        return frozenset()


def _time(date: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(date) if date else None
    except ValueError:
        return None
