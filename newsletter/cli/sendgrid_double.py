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
    events: Annotated[
        str, typer.Option("--events", metavar="URL", help="Post signed events of accepted mails to this webhook.")
    ] = "",
    events_key: Annotated[
        Path | None, typer.Option("--events-key", help="The private key that signs them, made when it is not there.")
    ] = None,
    events_fail: Annotated[
        list[str] | None,
        typer.Option(
            "--events-fail",
            metavar="SPEC",
            help="A failure of events, repeatable: lost@0.1, post-lost@0.1, repeated@0.1, without-id@0.5, shuffled, "
            "delay:5.",
        ),
    ] = None,
    events_record: Annotated[
        Path | None,
        typer.Option("--events-record", help="A file that gets one line of JSON for each post that was taken."),
    ] = None,
    fate: Annotated[
        list[str] | None,
        typer.Option(
            "--fate",
            metavar="PATTERN=FATE",
            help="What becomes of mails to some addresses, repeatable: *@example.org=bounce. Without it, the beginning "
            "of an address decides: bounce, blocked, drop, defer, spam, unsubscribe, silent; else it is delivered.",
        ),
    ] = None,
) -> None:
    """Run a local double of SendGrid: it refuses what SendGrid would, keeps the mails, and fails when told to."""
    from newsletter.clock import SystemClock
    from newsletter.errors import Refused
    from newsletter.sendgrid_double.events import EventPoster, open_key, public_key, read_event_faults, read_fate
    from newsletter.sendgrid_double.faults import Faults, read_fault
    from newsletter.sendgrid_double.record import Record
    from newsletter.sendgrid_double.server import Double, Options, listen, serve

    faults = Faults([read_fault(spec) for spec in fail or ()], seed)
    folder = None if sink or no_mails else mailbox or load_settings().mailbox
    if sink and events:
        raise Refused("With --sink no mail is read, so there is nothing to tell of. Leave out --sink or --events.")
    signs = open_key(events_key) if events else None
    told, fates = read_event_faults(events_fail or ()), [read_fate(spec) for spec in fate or ()]
    posts = Record(events_record) if events_record else None
    poster = EventPoster(events, signs, told, fates, seed, posts) if signs else None
    listening = listen(port)
    double = Double(Options(key, folder, record, sink, not allow_duplicates), faults, SystemClock(), poster)
    host = f"http://127.0.0.1:{listening.getsockname()[1]}"
    say(f"A double of SendGrid listens on {host}; " + (f"mails go to {folder}." if folder else "no mail is kept."))
    say("To send to it, set:")
    say(f"  NEWSLETTER_TRANSPORT=sendgrid NEWSLETTER_SENDGRID_HOST={host} NEWSLETTER_SENDGRID_API_KEY={key}")
    if signs:
        say(f"It posts events to {events}. To take them, set:")
        say(f"  NEWSLETTER_SENDGRID_WEBHOOK_PUBLIC_KEY={public_key(signs)}")
    say("End with Ctrl-C.")
    # Whoever started it may be waiting for these lines.
    sys.stdout.flush()
    serve(double, listening)
