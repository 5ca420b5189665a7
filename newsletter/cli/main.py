"""The `newsletter` command: gathers the groups, and turns a refusal into one clear message and exit code 1."""

from __future__ import annotations

import sys

import typer

from newsletter.cli import (
    articles,
    campaigns,
    database,
    demo,
    editions,
    scheduler,
    sendgrid_double,
    serve,
    staff,
    subscribers,
    workspace,
)
from newsletter.cli.console import fail
from newsletter.errors import NewsletterError

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
editions.register(app)
scheduler.register(app)
subscribers.register(app)
staff.register(app)
database.register(app)
serve.register(app)
sendgrid_double.register(app)
demo.register(app)


def main() -> None:
    """Run the command line; exits 0 when done, 1 when refused with a reason, 2 on wrong usage."""
    try:
        app()
    except NewsletterError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.exit(130)
