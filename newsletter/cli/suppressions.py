"""Commands about who must not be mailed: subscribers suppressions, lift, erase."""

from __future__ import annotations

from typing import Annotated

import typer

from newsletter.cli.console import Json, agrees, load_settings, people, say, say_json
from newsletter.cli.rows import opened


def register(readers: typer.Typer) -> None:
    """Add these commands to those for readers."""
    readers.command("suppressions")(suppressions)
    readers.command("lift")(lift)
    readers.command("erase")(erase)


def suppressions(json: Json = False) -> None:
    """Show how many addresses must not be mailed, by the reason and by what it came from; no address is shown."""
    from newsletter.subscribers.queries import count_suppressions

    with opened(load_settings()) as database, database.read() as session:
        counts = count_suppressions(session)
    if json:
        say_json([{"reason": one.reason.value, "source": one.source, "addresses": one.addresses} for one in counts])
        return
    for one in counts:
        say(f"{one.addresses:>8}  {one.reason.value}, by {one.source}")
    say(
        f"{sum(one.addresses for one in counts)} addresses must not be mailed. One of them: newsletter subscribers show"
    )


def lift(
    address: Annotated[str, typer.Argument(help="The e-mail address that must not be mailed.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it may be mailed again, for the record.")],
    json: Json = False,
) -> None:
    """Take back that an address must not be mailed: its owner may sign up again. Nobody is mailed because of it."""
    from newsletter.clock import SystemClock
    from newsletter.database.audit import SHELL
    from newsletter.errors import Refused
    from newsletter.subscribers import actions
    from newsletter.wiring import suppression_key

    _require(reason)
    settings = load_settings()
    with opened(settings) as database, database.write() as session:
        lifted = actions.lift_suppression(
            session,
            address,
            reason=reason,
            suppression_key=suppression_key(settings),
            actor=SHELL,
            now=SystemClock().now(),
        )
    if not lifted:
        raise Refused(
            f"There is nothing to lift for {address}: it may be mailed, or its owner has left. Who has left comes back "
            "by signing up on the sign-up page."
        )
    if json:
        say_json({"lifted": True})
        return
    say(f"{address} counts as somebody who has left. Its owner gets the newsletter again by signing up and confirming.")
    if settings.machine.transport == "sendgrid":
        say(
            "SendGrid has lists of its own: take the address off its bounces or spam reports too, or it drops the mail."
        )


def erase(
    address: Annotated[str, typer.Argument(help="Their e-mail address.")],
    reason: Annotated[str, typer.Option("--reason", help="How they asked for it, for the record.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask at a terminal whether it shall really be.")] = False,
    json: Json = False,
) -> None:
    """Forget a reader who asks for it: address, topics, sign-ups. It cannot be undone.

    A keyed hash of the address stays, so that it is never mailed again, and when they agreed and left.
    """
    from newsletter.clock import SystemClock
    from newsletter.database.audit import SHELL
    from newsletter.errors import Refused
    from newsletter.subscribers import actions
    from newsletter.subscribers.queries import get_subscriber

    _require(reason)
    with opened(load_settings()) as database:
        with database.read() as session:
            number = get_subscriber(session, address).number
        if not (yes or agrees(f"Forget {address} for ever?")):
            raise Refused(f"{address} was not erased.")
        with database.write() as session:
            source = f"staff, at the shell: {reason}"
            erased = actions.erase(session, number, source=source, actor=SHELL, now=SystemClock().now())
    if json:
        say_json({"erased": erased})
    else:
        say(f"{people(1)} erased: number {number}. Backups still have the address until they are deleted.")


def _require(reason: str) -> None:
    from newsletter.errors import Refused

    if not reason.strip():
        raise Refused("Say why, for the record: --reason 'asked by letter, 3 November'.")
