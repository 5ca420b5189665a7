"""The command that looks at everything a send needs: doctor."""

from __future__ import annotations

from contextlib import closing

import typer

from newsletter.cli.console import Json, load_settings, say, say_json


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(doctor)


def doctor(json: Json = False) -> None:
    """Look at settings, database, disk, DNS, SendGrid and the web, and say what to do; exit 1 when no send can work."""
    from dns.resolver import NoResolverConfiguration, Resolver

    from newsletter.clock import SystemClock
    from newsletter.database.session import open_database
    from newsletter.errors import Refused
    from newsletter.operations.doctor import examine
    from newsletter.operations.model import State

    settings = load_settings()
    try:
        resolver = Resolver()
    except NoResolverConfiguration:
        # Without a name server every question is answered by "could not ask".
        resolver = Resolver(configure=False)
    with closing(open_database(settings.database_url)) as database:
        checks = examine(settings, database, resolver, SystemClock().now())
    stopping = [check.name for check in checks if check.state is State.STOP]
    if json:
        say_json(
            {"may_send": not stopping, "checks": [{**vars(check), "state": check.state.value} for check in checks]}
        )
    else:
        for check in checks:
            say(f"{check.state.value:5} {check.name}: {check.told}")
            if check.remedy and check.state is not State.OK:
                say(f"      {check.remedy}")
    if stopping:
        raise Refused(f"Sending cannot work like this: {', '.join(stopping)}.")
