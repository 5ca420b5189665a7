"""What SendGrid's answers mean. Pure: the status, the headers and the body of one answer in, a Receipt out.

Only 202 means that SendGrid has the batch. What it refuses with a 4xx it has certainly not; of a 5xx nobody knows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from newsletter.providers.contract import Outcome, OutgoingBatch, PersonalReceipt, Receipt

SLOW_DOWN = timedelta(seconds=30)
"""How long to wait after a 429 that does not say."""
LONGEST_WAIT = timedelta(hours=1)

_INDEX = re.compile(r"personalizations[.\[](\d+)")


def read_answer(batch: OutgoingBatch, status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> Receipt:
    """The receipt for an answer that came whole; `headers` are looked up whatever their case."""
    said = {name.lower(): value for name, value in headers.items()}
    words = "; ".join(message for _, message in read_errors(body)) or f"HTTP {status}"
    match status:
        case 202:
            # The last request that the account may make for now.
            spent = said.get("x-ratelimit-remaining", "").strip() == "0" and "x-ratelimit-reset" in said
            until = retry_at(said, now) if spent else None
            return Receipt(Outcome.ACCEPTED, reference=said.get("x-message-id", ""), not_before=until)
        case 200:
            return Receipt(Outcome.ACCOUNT_TROUBLE, "SendGrid only tested the mail (sandbox mode) and sent nothing.")
        case 429:
            return Receipt(Outcome.TRY_AGAIN, "SendGrid asks to slow down.", not_before=retry_at(said, now))
        case 401 | 403:
            return Receipt(
                Outcome.ACCOUNT_TROUBLE,
                account_trouble(status, words, "The key needs `Mail Send`, and the sender must be verified."),
            )
        case 404 | 405:
            reason = f"SendGrid does not know what it was asked ({status}: {words}). Check SENDGRID_HOST."
            return Receipt(Outcome.ACCOUNT_TROUBLE, reason)
        case 413:
            return Receipt(Outcome.TOO_LARGE, "SendGrid says that the batch is too large.")
        case 400:
            return Receipt(Outcome.REJECTED, f"SendGrid refused the batch: {words}", people=_culprits(batch, body))
        case _ if 300 <= status < 400:
            return Receipt(
                Outcome.ACCOUNT_TROUBLE,
                f"SENDGRID_HOST answers with a redirect to {said.get('location', 'another place')}. Check its address.",
            )
        case _ if 400 <= status < 500:
            return Receipt(Outcome.REJECTED, f"SendGrid refused the batch ({status}): {words}")
        case _:
            return Receipt(Outcome.UNCERTAIN, f"SendGrid answered {status}; nobody knows whether it has the batch.")


def account_trouble(status: int, words: str, remedy: str) -> str:
    """What a 401 or 403 means, and what to do; `remedy` is that of a 403."""
    # Credit that is used up comes as 401 too, with a valid key (facts: sendgrid-nodejs 1032, sendgrid-python 242).
    if "credits" in words.lower() or "quota" in words.lower():
        return f"The SendGrid account has no credit left ({words}). Raise its plan or wait for its next month."
    if status == 403:
        return f"SendGrid does not allow this ({words}). {remedy}"
    return f"SendGrid refuses the key ({words}). Set SENDGRID_API_KEY to a key that is in force."


def retry_at(said: Mapping[str, str], now: datetime) -> datetime:
    """When the next request may go, by the headers, at most an hour from now; SendGrid may send none of them.

    Their names are in small letters.
    """
    until = now + SLOW_DOWN
    try:
        if after := said.get("retry-after"):
            until = now + timedelta(seconds=int(after)) if after.isdigit() else parsedate_to_datetime(after)
        elif reset := said.get("x-ratelimit-reset"):
            until = datetime.fromtimestamp(int(reset), UTC)
    except (ValueError, OverflowError, OSError):
        until = now + SLOW_DOWN
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(until, now + timedelta(seconds=1)), now + LONGEST_WAIT)


def _culprits(batch: OutgoingBatch, body: bytes) -> dict[str, PersonalReceipt]:
    """Those whom the answer names by their place in the request; one of them makes SendGrid refuse everybody."""
    return {
        batch.people[int(found[1])].delivery: PersonalReceipt(Outcome.REJECTED, message)
        for field, message in read_errors(body)
        if (found := _INDEX.search(field)) and int(found[1]) < len(batch.people)
    }


def read_errors(body: bytes) -> list[tuple[str, str]]:
    """The (field, message) pairs of an error body; none when it is not the JSON that is expected."""
    try:
        parsed: Any = orjson.loads(body)
        errors = parsed["errors"]
        return [(str(error.get("field") or ""), str(error.get("message") or "")[:300]) for error in errors]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []
