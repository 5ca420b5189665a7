"""SendGrid's lists of addresses that it does not mail: read in windows of time, added to, taken from.

Spoken through the `sendgrid` package: these calls are few, and none of them loses anything when it is made twice. The
package has no time-out, follows redirects with the key in hand and quotes no path; all three are mended here.
"""

from __future__ import annotations

import http.client
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pydantic
from python_http_client.client import Client, Response
from python_http_client.exceptions import HTTPError
from sendgrid import SendGridAPIClient

from newsletter.clock import Clock
from newsletter.providers.connections import reason_of
from newsletter.providers.sendgrid.answer import account_trouble, read_errors, retry_at
from newsletter.providers.sendgrid.lists import Listed, ListName, ListsRefused, ListsUnanswered

TIMEOUT = 20.0
"""Seconds that SendGrid may be silent."""

PAUSE = 0.1
"""Seconds between two pages: some 600 requests a minute are reported to be allowed (the number is not published)."""

PAGE = 500
"""The most entries that SendGrid gives in one answer."""


class _Absent(ListsRefused):
    """What the path names is not there."""


class SendGridLists:
    """The lists of the account that a key belongs to."""

    def __init__(self, key: str, host: str, clock: Clock, *, timeout: float = TIMEOUT, pause: float = PAUSE) -> None:
        self._key = key
        self._host = host
        self._clock = clock
        self._timeout = timeout
        self._pause = pause

    def pages(self, name: ListName, since: datetime, until: datetime) -> Iterator[Sequence[Listed]]:
        """See `SuppressionLists.pages`.

        SendGrid numbers its pages from the beginning of the list, so that an entry that vanishes meanwhile moves
        another one past the reader. Hence a window that one answer does not hold is halved, down to a second.
        """
        windows = [(int(since.timestamp()), int(until.timestamp()))]
        while windows:
            first, last = windows.pop()
            page = self._page(name, first, last)
            if len(page) < PAGE:
                yield page
            elif first == last:
                yield page
                yield from self._rest_of_second(name, first)
            else:
                middle = (first + last) // 2
                windows += [(middle + 1, last), (first, middle)]

    def add(self, addresses: Sequence[str], group: int | None) -> None:
        """See `SuppressionLists.add`; nothing is added when the group is not there."""
        body = {"recipient_emails": list(addresses)}
        if group is None:
            self._call(("asm", "suppressions", "global"), "post", 201, request_body=body)
            return
        # What is posted to a group that is gone lands on the list of all unsubscribes (SendGrid's description).
        self._require_group(group)
        self._call(("asm", "groups", str(group), "suppressions"), "post", 201, request_body=body)

    def remove(self, address: str, group: int | None) -> None:
        """See `SuppressionLists.remove`."""
        place = ("asm", "suppressions", "global") if group is None else ("asm", "groups", str(group), "suppressions")
        with suppress(_Absent):
            self._call((*place, address), "delete", 204)

    def _rest_of_second(self, name: ListName, second: int) -> Iterator[Sequence[Listed]]:
        # Pages overlap by a half, so that up to 250 entries may vanish between two answers and none is passed over.
        offset, page = 0, PAGE
        while page == PAGE:
            offset += PAGE // 2
            found = self._page(name, second, second, offset)
            yield found
            page = len(found)

    def _page(self, name: ListName, first: int, last: int, offset: int = 0) -> Sequence[Listed]:
        time.sleep(self._pause)
        query = {"start_time": first, "end_time": last, "limit": PAGE, "offset": offset}
        answer = self._call(("suppression", name.value), "get", 200, query_params=query)
        try:
            return [Listed(entry.email, _instant(entry.created)) for entry in _PAGE_OF_ENTRIES.validate_json(answer)]
        except (ValueError, OverflowError, OSError):
            raise ListsUnanswered(f"What SendGrid says of its {name.value} is not what its description says.") from None

    def _require_group(self, group: int) -> None:
        try:
            there = _Group.model_validate_json(self._call(("asm", "groups", str(group)), "get", 200))
        except (ValueError, _Absent):
            there = None
        if there is None or there.id != group:
            raise ListsUnanswered(
                f"The SendGrid account has no unsubscribe group {group}. Set SENDGRID_UNSUBSCRIBE_GROUP to one it has."
            )

    def _call(self, path: Sequence[str], method: str, expected: int, **content: object) -> bytes:
        """The body of an answer with the expected status; raises a ListsUnanswered for every other."""
        # Each call gets a client of its own: the package's headers are shared by all that come of one client.
        place: Any = _Client(SendGridAPIClient(self._key, host=self._host).client)
        for part in path:
            place = place._(quote(part, safe=""))
        try:
            answer: Response = getattr(place, method)(timeout=self._timeout, **content)
        except HTTPError as error:
            raise self._explained(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise ListsUnanswered(f"SendGrid cannot be reached: {_why(error)}.") from None
        if answer.status_code != expected:
            raise ListsUnanswered(f"SendGrid answered {answer.status_code} where it should say {expected}.")
        return bytes(answer.body)

    def _explained(self, error: HTTPError) -> ListsUnanswered:
        status: int = error.status_code
        # Its body may be a page of HTML, which the package's own reader does not survive.
        words = "; ".join(message for _, message in read_errors(error.body)) or f"HTTP {status}"
        headers: Mapping[str, str] = error.headers or {}
        said = {name.lower(): value for name, value in headers.items()}
        match status:
            case 429:
                return ListsUnanswered("SendGrid asks to slow down.", retry_at(said, self._clock.now()))
            case 401 | 403:
                return ListsUnanswered(account_trouble(status, words, "The key needs `Suppressions`."))
            case _ if 300 <= status < 400:
                return ListsUnanswered("SENDGRID_HOST answers with a redirect to another place. Check its address.")
            case 404:
                return _Absent(f"SendGrid knows no such thing: {words}.")
            case _ if 400 <= status < 500:
                return ListsRefused(f"SendGrid refused the request: {words}.")
            case _:
                return ListsUnanswered(f"SendGrid answered {status}.")


class _Entry(pydantic.BaseModel):
    email: str
    # A number, and for bounces not always a whole one (SendGrid's description).
    created: float


class _Group(pydantic.BaseModel):
    id: int


_PAGE_OF_ENTRIES = pydantic.TypeAdapter(list[_Entry])


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class _Client(Client):  # type: ignore[misc]  # the package has no types
    """The package's client, without redirects and proxies: the key goes to SENDGRID_HOST and nowhere else."""

    def __init__(self, like: Any) -> None:
        super().__init__(like.host, like.request_headers, like._version, like._url_path)

    def _build_client(self, name: str | None = None) -> _Client:
        return _Client(super()._build_client(name))

    def _make_request(self, opener: object, request: urllib.request.Request, timeout: float | None = None) -> Any:
        direct = urllib.request.build_opener(_NoRedirect(), urllib.request.ProxyHandler({}))
        return super()._make_request(direct, request, timeout=timeout)


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _why(error: Exception) -> str:
    # urllib wraps the error that tells more.
    wrapped = getattr(error, "reason", None)
    return reason_of(wrapped if isinstance(wrapped, Exception) else error)
