"""The command for trying and testing without SendGrid: sendgrid-double."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from newsletter.cli.console import load_settings, say


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(sendgrid_double)


def sendgrid_double(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port to listen on; 0: a free one.")] = 8025,
    mailbox: Annotated[
        Path | None, typer.Option("--mailbox", help="Where mails are kept; the workspace's mailbox when absent.")
    ] = None,
    key: Annotated[str, typer.Option("--key", help="The API key that it accepts.")] = "SG.double",
    record: Annotated[
        Path | None, typer.Option("--record", help="A file that gets one line of JSON for each request.")
    ] = None,
    fail: Annotated[
        list[str] | None,
        typer.Option(
            "--fail",
            metavar="SPEC",
            help="A failure to play, repeatable: 503*2 fails twice, cut-after@0.1 one time in ten, 429-retry-after:5 "
            "says how long to wait. A wrong one lists all kinds.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Another number makes chance fall otherwise.")] = 0,
    allow_duplicates: Annotated[
        bool,
        typer.Option("--allow-duplicates", help="Take an address in several personalizations of a request."),
    ] = False,
    no_mails: Annotated[bool, typer.Option("--no-mails", help="Judge and record requests, and keep no mails.")] = False,
    sink: Annotated[bool, typer.Option("--sink", help="Only count requests, and judge and keep nothing.")] = False,
) -> None:
    """Run a local double of SendGrid: it refuses what SendGrid would, keeps the mails, and fails when told to."""
    from newsletter.clock import SystemClock
    from newsletter.sendgrid_double.faults import Faults, read_fault
    from newsletter.sendgrid_double.server import Double, Options, listen, serve

    faults = Faults([read_fault(spec) for spec in fail or ()], seed)
    folder = None if sink or no_mails else mailbox or load_settings().mailbox
    listening = listen(port)
    double = Double(Options(key, folder, record, sink, not allow_duplicates), faults, SystemClock())
    host = f"http://127.0.0.1:{listening.getsockname()[1]}"
    say(f"A double of SendGrid listens on {host}; " + (f"mails go to {folder}." if folder else "no mail is kept."))
    say("To send to it, set:")
    say(f"  NEWSLETTER_TRANSPORT=sendgrid NEWSLETTER_SENDGRID_HOST={host} NEWSLETTER_SENDGRID_API_KEY={key}")
    say("End with Ctrl-C.")
    # Whoever started it may be waiting for these lines.
    sys.stdout.flush()
    serve(double, listening)
