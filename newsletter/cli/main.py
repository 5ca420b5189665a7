"""The `newsletter` command: gathers the groups, and turns a refusal into one clear message and exit code 1."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from newsletter.cli import (
    articles,
    audience,
    campaigns,
    database,
    demo,
    doctor,
    editions,
    events,
    scheduler,
    sendgrid_double,
    sends,
    serve,
    staff,
    submitting,
    subscriber_import,
    subscribers,
    suppressions,
    workspace,
)
from newsletter.cli.console import fail
from newsletter.errors import NewsletterError, Refused

app = typer.Typer(
    name="newsletter",
    help="A clinic's monthly newsletter, from a draft to every reader's inbox.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"max_content_width": 120},
    rich_markup_mode=None,
)
workspace.register(app)
campaigns.register(app)
articles.register(app)
audience.register(app)
submitting.register(app)
editions.register(app)
sends.register(app)
events.register(app)
scheduler.register(app)
subscribers.register(app)
subscriber_import.register(subscribers.app)
suppressions.register(subscribers.app)
staff.register(app)
database.register(app)
doctor.register(app)
serve.register(app)
sendgrid_double.register(app)
demo.register(app)


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line, or the words given; exits 0 when done, 1 when refused with a reason, 2 on wrong usage."""
    words = sys.argv[1:] if words is None else words
    try:
        app(list(words))
    except NewsletterError as error:
        fail(error, as_json="--json" in words)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        fail(_as_refusal(error), as_json="--json" in words)


def _as_refusal(error: Exception) -> NewsletterError:
    """What the machine answered, as a sentence: the last resort, where no command knew better; raises what is ours."""
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return Refused(f"{place}{error.strerror or error}. Check that it is there and may be read and written.")
    if isinstance(error, UnicodeError):
        return Refused("Something that was given has letters that are not UTF-8. Type or save it again as UTF-8.")
    from sqlalchemy.exc import DBAPIError

    if isinstance(error, DBAPIError):
        answer = (str(error.orig).strip().splitlines() or ["nothing"])[0]
        return Refused(f"The database answered: {answer}. Look at its disk and its log, and try again.")
    raise error
