"""What SendGrid posts to the webhook, read into our words.

Names, fields and types: SendGrid's page on its event webhook. What it does not mention passes: unknown events are kept
as such, unknown fields are not looked at. Opens and clicks are dropped unread, since readers are not tracked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from newsletter.providers.contract import DropCause, EventKind, ProviderEvent

LONGEST = 500
"""Characters that are kept of each of their texts."""

_KINDS = {
    "processed": EventKind.PROCESSED,
    "delivered": EventKind.DELIVERED,
    "deferred": EventKind.DEFERRED,
    "bounce": EventKind.HARD_BOUNCE,
    "dropped": EventKind.DROPPED,
    "spamreport": EventKind.COMPLAINT,
    "unsubscribe": EventKind.LEFT,
    "group_unsubscribe": EventKind.LEFT_GROUP,
    "group_resubscribe": EventKind.JOINED_GROUP,
    "account_status_change": EventKind.ACCOUNT,
}
_TRACKING = frozenset({"open", "click"})
_SHORT = frozenset({EventKind.PROCESSED, EventKind.DELIVERED})
"""Kinds of which there is nothing to say but that it was so."""
_CAUSES = {
    "bounced address": DropCause.BOUNCED,
    "spam reporting address": DropCause.COMPLAINED,
    "invalid": DropCause.INVALID,
    "unsubscribed address": DropCause.LEFT,
}
_IN_MILLISECONDS = 100_000_000_000
"""From here on a timestamp counts milliseconds: as seconds it would be the year 5138."""
_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")
_PERSONAL = frozenset({"email", "ip", "useragent", "url", "sg_event_id", "sg_message_id", "smtp-id"})


class Unreadable(ValueError):
    """A post is not what SendGrid documents; the text says how."""


@dataclass(frozen=True)
class Reading:
    """The events of one post, how many of it no event could be made of, and how many were dropped unread."""

    events: tuple[ProviderEvent, ...]
    unreadable: int
    unread: int


def read_post(body: bytes) -> Reading:
    """The events of a post; raises Unreadable when it is no JSON array.

    An entry that cannot be read is counted and passed over: it must not keep the others from being heard.
    """
    entries = _entries(body)
    if not isinstance(entries, list):
        raise Unreadable(f"it is JSON, but not a list of events: {type(entries).__name__}")
    events: list[ProviderEvent] = []
    unreadable = unread = 0
    for entry in entries:
        name = entry.get("event") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            unreadable += 1
        elif name in _TRACKING:
            unread += 1
        elif (event := _read_entry(name, entry)) is None:
            unreadable += 1
        else:
            events.append(event)
    return Reading(tuple(events), unreadable, unread)


def _entries(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError as error:
        # What a mail server said may be cut off in the middle of a letter, or be no UTF-8; the others are read still.
        try:
            return json.loads(body.decode(errors="replace"))
        except (ValueError, RecursionError):
            raise Unreadable(f"it is not JSON: {_text(error)}") from None


def _read_entry(name: str, entry: Mapping[str, Any]) -> ProviderEvent | None:
    at = _instant(entry.get("timestamp"))
    if at is None:
        return None
    kind = _KINDS.get(name, EventKind.OTHER)
    attempt, delivery = _text(entry.get("newsletter_attempt")), _text(entry.get("newsletter_delivery"))
    notice = _text(entry.get("newsletter_notice"))
    reference = _text(entry.get("sg_message_id")).partition(".")[0]
    address = _text(entry.get("email"))
    if kind in _SHORT:
        return ProviderEvent(kind, at, delivery, attempt, address, reference, notice=notice)
    if kind is EventKind.HARD_BOUNCE and entry.get("type") == "blocked":
        kind = EventKind.SOFT_BOUNCE
    # The page has `response` in its example of a deferral and `reason` in its table.
    reason = _text(entry.get("reason") or entry.get("response"))
    if kind is EventKind.ACCOUNT:
        reason = ": ".join(part for part in (_text(entry.get("type")), reason) if part)
    return ProviderEvent(
        kind,
        at,
        delivery,
        attempt,
        address,
        reference,
        reason or (name if kind is EventKind.OTHER else ""),
        status=_text(entry.get("status")),
        classification=_text(entry.get("bounce_classification")),
        cause=_CAUSES.get(reason.lower(), DropCause.OTHER) if kind is EventKind.DROPPED else None,
        apart=_apart(kind, entry),
        notice=notice,
    )


def _apart(kind: EventKind, entry: Mapping[str, Any]) -> str:
    match kind:
        case EventKind.LEFT_GROUP | EventKind.JOINED_GROUP:
            return _text(entry.get("asm_group_id"))
        case EventKind.ACCOUNT | EventKind.OTHER:
            rest = {key: value for key, value in entry.items() if key not in _PERSONAL}
            return _as_json(rest)
        case _:
            return ""


def _as_json(value: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        # Half a letter, a number of a hundred digits, or lists in lists without end.
        with suppress(RecursionError):
            return json.dumps(value, sort_keys=True)
        return ""


def _instant(value: object) -> datetime | None:
    try:
        seconds = float(value) if isinstance(value, int | float | str) else 0.0
        if seconds >= _IN_MILLISECONDS:
            seconds /= 1_000
        return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def _text(value: object) -> str:
    """A value as text that every database keeps: PostgreSQL takes no NUL."""
    if value is None or isinstance(value, dict | list):
        return ""
    text = (value if isinstance(value, str) else str(value))[:LONGEST]
    return text if text.isprintable() else _NOT_TEXT.sub(" ", text)
