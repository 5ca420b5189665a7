"""A good request to the double, to change at will."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import orjson

NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)

_GOOD: dict[str, Any] = {
    "personalizations": [
        {
            "to": [{"email": "ana@example.org", "name": "Ana"}],
            "headers": {"List-Unsubscribe": "<https://news.example.org/unsubscribe/1>"},
            "substitutions": {"{{h:leave}}": "https://news.example.org/1?a=1&amp;b=2", "{{t:leave}}": "leave ana"},
            "custom_args": {"delivery": "1-1", "attempt": "a1"},
        },
        {
            "to": [{"email": "bashir@example.org"}],
            "headers": {"List-Unsubscribe": "<https://news.example.org/unsubscribe/2>"},
            "substitutions": {"{{h:leave}}": "https://news.example.org/2?a=1&amp;b=2", "{{t:leave}}": "leave bashir"},
            "custom_args": {"delivery": "1-2", "attempt": "a1"},
        },
    ],
    "from": {"email": "clinic@example.org", "name": "The clinic, Münster"},
    "reply_to": {"email": "answers@example.org"},
    "subject": "Pain that was learned",
    "content": [
        {"type": "text/plain", "value": "Hello. {{t:leave}}\n"},
        {"type": "text/html", "value": "<p>Hello.</p>\n<a href='{{h:leave}}'>Leave</a>"},
    ],
    "tracking_settings": {"click_tracking": {"enable": False, "enable_text": False}},
}

GONE = object()
"""As a value: the key is taken away."""


def good_request(**changes: object) -> dict[str, Any]:
    """A request that SendGrid takes, with some of its fields changed."""
    return changed(_GOOD, *((name, value) for name, value in changes.items()))


def changed(request: dict[str, Any], *changes: tuple[str, object]) -> dict[str, Any]:
    """A copy in which the values at these paths, such as `personalizations.0.subject`, are others.

    Raises a LookupError or TypeError when there is no such place.
    """
    made = copy.deepcopy(request)
    for path, value in changes:
        *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        place: Any = made
        for step in steps:
            place = place.setdefault(step, {}) if isinstance(place, dict) and isinstance(step, str) else place[step]
        if value is GONE:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        elif isinstance(place, dict) and not isinstance(last, str):
            raise LookupError(f"{path}: there is no list")
        else:
            place[last] = value
    return made


def to_bytes(request: object) -> bytes:
    """A request as it goes over the line."""
    return orjson.dumps(request)
