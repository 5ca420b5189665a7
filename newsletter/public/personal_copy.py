"""All that is kept about a reader, as a file, for the holder of a fresh link."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from newsletter.languages import for_readers
from newsletter.personal_copy import make_personal_copy
from newsletter.public.posts import Form, PostRefused
from newsletter.public.reader_links import ReaderLink, find_person, nobody
from newsletter.site import PRIVATE, site_of

_TYPES = {"json": "application/json", "csv": "text/csv; charset=utf-8"}


def download(request: Request, link: ReaderLink, form: Form) -> Response:
    """The file, as JSON or as CSV; browsers keep it and do not open it."""
    kind = next(iter(form.get("format", ())), "")
    if kind not in _TYPES:
        raise PostRefused(422, for_readers("This form is not as we have sent it. Open the page again."))
    with site_of(request).database.snapshot() as session:
        person = find_person(session, link)
        if person is None:
            return nobody(request)
        found = make_personal_copy(session, person.number)
    content = found.as_json() if kind == "json" else found.as_csv()
    headers = {**PRIVATE, "Content-Disposition": f'attachment; filename="newsletter-my-data.{kind}"'}
    return Response(content, headers={**headers, "Content-Type": _TYPES[kind]})
