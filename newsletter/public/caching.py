"""Pages that are the same for everybody: kept for some minutes, and not sent again while they are the same."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from starlette.requests import Request
from starlette.responses import Response

_KEPT = ("cache-control", "content-location", "etag", "expires", "last-modified", "vary")
"""What an answer without a body repeats of the one that it stands for (RFC 9110, 15.4.5)."""


def cached(request: Request, answer: Response, *, changed_at: datetime | None = None) -> Response:
    """The answer with an ETag, and with Last-Modified when `changed_at` says so; 304 to whoever has it already."""
    answer.headers["Cache-Control"] = "public, max-age=300"
    answer.headers["ETag"] = f'"{hashlib.sha256(bytes(answer.body)).hexdigest()[:32]}"'
    if changed_at:
        answer.headers["Last-Modified"] = format_datetime(changed_at.astimezone(UTC), usegmt=True)
    if not _is_known(request, answer.headers["ETag"], changed_at):
        return answer
    return Response(status_code=304, headers={name: answer.headers[name] for name in _KEPT if name in answer.headers})


def _is_known(request: Request, etag: str, changed_at: datetime | None) -> bool:
    known = request.headers.get("if-none-match")
    if known is not None:
        # When both are sent, this one alone counts (RFC 9110, 13.2.2); a proxy may have made it a weak one.
        return known.strip() == "*" or etag in (one.strip().removeprefix("W/") for one in known.split(","))
    since = _read_date(request.headers.get("if-modified-since", ""))
    return bool(changed_at and since and changed_at.replace(microsecond=0) <= since)


def _read_date(text: str) -> datetime | None:
    try:
        read = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
