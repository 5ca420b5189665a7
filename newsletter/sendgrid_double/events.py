"""What the double tells later of the mails that it accepted: signed posts to a webhook, with failures of their own.

What becomes of a mail is decided by its address: see `FATES`. The words and fields are those of SendGrid's page on its
event webhook; like SendGrid, the double tries a post that is not taken again, and ends its body with a line break.
Posts wait in memory: what waits in a double that is killed is never told.
"""

from __future__ import annotations

import heapq
import random
import threading
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatch
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from newsletter.backoff import exponential_backoff
from newsletter.errors import Refused
from newsletter.sendgrid_double.description import MailSend
from newsletter.sendgrid_double.record import Record, RecordedPost

Event = Mapping[str, Any]

FATES: Mapping[str, Sequence[Event]] = {
    "bounce": (
        {"event": "processed"},
        {"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 no such mailbox"},
    ),
    "blocked": (
        {"event": "processed"},
        {"event": "bounce", "type": "blocked", "status": "4.7.1", "reason": "421 try again later"},
    ),
    "drop": ({"event": "dropped", "reason": "Bounced Address", "status": "5.0.0"},),
    "defer": ({"event": "processed"}, {"event": "deferred", "response": "452 mailbox full", "attempt": "1"}),
    "spam": ({"event": "processed"}, {"event": "delivered", "response": "250 OK"}, {"event": "spamreport"}),
    "unsubscribe": ({"event": "processed"}, {"event": "delivered", "response": "250 OK"}, {"event": "unsubscribe"}),
    "silent": (),
    "deliver": ({"event": "processed"}, {"event": "delivered", "response": "250 OK"}),
}
"""What is told of a mail, one after the other; an address whose first part begins with the word has this fate."""

FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=0.25), timedelta(minutes=1)
"""How long a post that was not taken waits before it is tried again."""

KEEP_TRYING = 24 * 60 * 60
"""Seconds after which a post is given up, as SendGrid does."""


@dataclass(frozen=True)
class EventFaults:
    """What goes wrong with events; the numbers are chances of one event, or of a whole post; `delay` is in seconds."""

    lost: float = 0.0
    post_lost: float = 0.0
    repeated: float = 0.0
    without_id: float = 0.0
    shuffled: bool = False
    delay: float = 0.0


_CHANCES = ("lost", "post-lost", "repeated", "without-id")


def read_event_faults(specs: Iterable[str]) -> EventFaults:
    """The failures of events as they are written, such as lost@0.1, post-lost@0.1, without-id@1, shuffled, delay:5."""
    found: dict[str, Any] = {}
    for spec in specs:
        name, _, number = spec.replace(":", "@").partition("@")
        try:
            value = float(number) if number else 0.0
        except ValueError:
            value = -1.0
        if name == "shuffled" and not number:
            found["shuffled"] = True
        elif (name == "delay" and value >= 0) or (name in _CHANCES and 0 < value <= 1):
            found[name.replace("-", "_")] = value
        else:
            raise Refused(
                f"`{spec}` is no failure of events. Write lost@0.1, post-lost@0.1, repeated@0.1, without-id@0.1, "
                "shuffled or delay:5."
            )
    return EventFaults(**found)


def read_fate(spec: str) -> tuple[str, str]:
    """A pattern of addresses and a fate, as it is written: `*@example.org=bounce`; raises Refused."""
    pattern, found, fate = spec.rpartition("=")
    if not found or fate not in FATES:
        raise Refused(f"`{spec}` is no fate. Write PATTERN=FATE, such as *@example.org=bounce: {', '.join(FATES)}.")
    return pattern, fate


def open_key(path: Path | None) -> EllipticCurvePrivateKey:
    """The private key in a file, made there when there is none; without a file, a new one. Raises Refused."""
    if path is None:
        return generate_private_key(SECP256R1())
    if not path.exists():
        key = generate_private_key(SECP256R1())
        path.touch(mode=0o600)
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return key
    try:
        found = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, OSError):
        found = None
    if not isinstance(found, EllipticCurvePrivateKey):
        raise Refused(f"{path} holds no private key on the curve P-256. Remove it, and a new one is made.")
    return found


def public_key(key: EllipticCurvePrivateKey) -> str:
    """The public half, as SendGrid shows it."""
    return b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def events_of(
    request: MailSend, message_id: str, now: datetime, fates: Sequence[tuple[str, str]] = ()
) -> Iterator[dict[str, Any]]:
    """What is told of every mail of an accepted request, in the order in which it happens; pure."""
    number = 0
    for person in request.personalizations:
        for recipient in person.recipients:
            for step, told in enumerate(FATES[_fate_of(recipient.email, fates)]):
                yield {
                    # What SendGrid says itself stands before a custom argument of the same name.
                    **request.custom_args_of(person),
                    "email": recipient.email,
                    "timestamp": int(now.timestamp()) + step,
                    "sg_event_id": f"{message_id}-{number}-{step}",
                    "sg_message_id": f"{message_id}.double-{number}",
                    "smtp-id": f"<{number}.{message_id}@double.example.org>",
                    **({"category": list(request.categories)} if request.categories else {}),
                    **told,
                }
            number += 1


def _fate_of(address: str, fates: Sequence[tuple[str, str]]) -> str:
    for pattern, fate in fates:
        if fnmatch(address.lower(), pattern.lower()):
            return fate
    return next((fate for fate in FATES if address.lower().startswith(fate)), "deliver")


@dataclass(order=True)
class _Waiting:
    """A post on its way: when it is due and since when it is tried, in seconds of the monotonic clock."""

    due: float
    since: float
    events: list[dict[str, Any]] = field(compare=False)
    said: RecordedPost = field(compare=False)


class EventPoster:
    """Posts events to a webhook from a thread of its own; accepting mails never waits for it.

    With a record, it has a line for each post that was taken, and for each of which nothing was left to tell.
    """

    def __init__(
        self,
        url: str,
        key: EllipticCurvePrivateKey,
        faults: EventFaults,
        fates: Sequence[tuple[str, str]] = (),
        seed: int = 0,
        record: Record | None = None,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise Refused(f"`{url}` is no address to post to. Write http://127.0.0.1:8000/webhooks/sendgrid/events.")
        self._url = url
        self._key = key
        self._faults = faults
        self._fates = fates
        self._random = random.Random(seed)  # noqa: S311 (a story to be told again, no secret)
        self._record = record
        self._waiting: list[_Waiting] = []
        self._untold = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._post_for_ever, name="double-events", daemon=True).start()

    @property
    def waiting(self) -> int:
        """How many posts were not taken yet."""
        return self._untold

    @property
    def key(self) -> EllipticCurvePrivateKey:
        """The key that signs what is posted."""
        return self._key

    def tell(self, request: MailSend, message_id: str, now: datetime) -> None:
        """Tell what becomes of an accepted request, when its time has come."""
        happened = list(events_of(request, message_id, now, self._fates))
        kept = self._lose(happened)
        repeated = [event for event in kept if self._random.random() < self._faults.repeated]
        events = self._disfigure(kept + repeated)
        said = RecordedPost(message_id, len(events), lost=len(happened) - len(kept), repeated=len(repeated), tries=0)
        if not events:
            self._note(said)
            return
        since = time.monotonic()
        with self._changed:
            self._untold += 1
            self._wait(_Waiting(since + self._faults.delay, since, events, said))

    def _lose(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        chance, faults = self._random.random, self._faults
        if chance() < faults.post_lost:
            return []
        return [event for event in events if chance() >= faults.lost]

    def _disfigure(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        chance, faults = self._random.random, self._faults
        told = [_without_id(event) if chance() < faults.without_id else event for event in events]
        if faults.shuffled:
            self._random.shuffle(told)
        return told

    def _post_for_ever(self) -> None:
        while True:
            post = self._take_due()
            post.said = replace(post.said, tries=post.said.tries + 1)
            try:
                self._post(post.events)
            except (OSError, HTTPException):
                if time.monotonic() - post.since < KEEP_TRYING:
                    self._try_again(post)
                    continue
            else:
                self._note(post.said)
            with self._changed:
                self._untold -= 1

    def _take_due(self) -> _Waiting:
        with self._changed:
            while not self._waiting or self._waiting[0].due > time.monotonic():
                # Another one may come that is due earlier.
                self._changed.wait(self._waiting[0].due - time.monotonic() if self._waiting else None)
            return heapq.heappop(self._waiting)

    def _try_again(self, post: _Waiting) -> None:
        wait = exponential_backoff(post.said.tries - 1, first=FIRST_WAIT, longest=LONGEST_WAIT)
        post.due = time.monotonic() + wait.total_seconds()
        with self._changed:
            self._wait(post)

    def _wait(self, post: _Waiting) -> None:
        heapq.heappush(self._waiting, post)
        self._changed.notify()

    def _note(self, said: RecordedPost) -> None:
        if self._record:
            self._record.add(said)

    def _post(self, events: list[dict[str, Any]]) -> None:
        body = orjson.dumps(events) + b"\r\n"
        timestamp = str(int(time.time()))
        signature = b64encode(self._key.sign(timestamp.encode() + body, ECDSA(SHA256()))).decode()
        headers = {
            "Content-Type": "application/json",
            "X-Twilio-Email-Event-Webhook-Signature": signature,
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        }
        request = urllib.request.Request(self._url, body, headers)  # noqa: S310 (the scheme was looked at)
        with urllib.request.urlopen(request, timeout=30):  # noqa: S310
            pass


def _without_id(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "sg_event_id"}
