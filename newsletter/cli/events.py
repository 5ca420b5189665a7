"""Commands for what the provider told and could not be applied: events list, events retry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from newsletter.cli.console import Json, load_settings, say, say_json
from newsletter.cli.rows import As, opened, who_acts

if TYPE_CHECKING:
    from newsletter.provider_events.tables import ReceivedPost

app = typer.Typer(no_args_is_help=True, help="Provider events: the posts that could not be applied.")


def register(parent: typer.Typer) -> None:
    """Add these commands to the command line."""
    parent.add_typer(app, name="events")


@app.command("list")
def list_(json: Json = False) -> None:
    """Show the posts of the provider that were set aside, and why; the addresses in them are not shown."""
    from newsletter.clock import in_clinic_time
    from newsletter.provider_events.model import PostState
    from newsletter.provider_events.queries import count_posts, list_set_aside

    settings = load_settings()
    with opened(settings) as database, database.read() as session:
        posts = list_set_aside(session)
        waiting = count_posts(session).get(PostState.WAITING, 0)
    if json:
        say_json({"waiting": waiting, "set_aside": [_as_json(post) for post in posts]})
        return
    for post in posts:
        when = in_clinic_time(post.received_at, settings.clinic.zone)
        say(f"{post.number}  came {when}, {len(post.body or b'')} bytes: {post.problem}")
    if posts:
        say(f"They are deleted {settings.sending.event_days} days after they came. Once the cause is mended:")
        say("  newsletter events retry --as EMAIL")
    else:
        say(f"No post was set aside; {waiting} wait to be applied.")


@app.command()
def retry(
    post: Annotated[list[int] | None, typer.Argument(help="Numbers of posts, as `events list` shows them.")] = None,
    by: As = "",
    json: Json = False,
) -> None:
    """Apply posts that were set aside once more: those named, or all of them."""
    from newsletter.clock import SystemClock
    from newsletter.errors import Refused
    from newsletter.provider_events import actions
    from newsletter.provider_events.queries import list_set_aside
    from newsletter.schedule.event_jobs import apply_waiting
    from newsletter.schedule.rules import make_event_rules
    from newsletter.staff.roles import Act

    settings, clock = load_settings(), SystemClock()
    rules = make_event_rules(settings)
    if rules is None:
        raise Refused("SUPPRESSION_KEY is not set, so no event can be applied. Put it back into .env.")
    with opened(settings) as database:
        with database.write() as session:
            actor = who_acts(session, by, Act.STEER)
            numbers = post or [one.number for one in list_set_aside(session)]
            for number in numbers:
                actions.try_again(session, number, actor=actor, now=clock.now())
        apply_waiting(database, clock, rules)
        with database.read() as session:
            aside = [one for one in list_set_aside(session) if one.number in numbers]
    if json:
        say_json({"applied": len(numbers) - len(aside), "set_aside": [_as_json(one) for one in aside]})
    else:
        say(f"Applied: {len(numbers) - len(aside)} of {len(numbers)}.")
        for one in aside:
            say(f"  {one.number} was set aside again: {one.problem}")
    if aside:
        raise typer.Exit(1)


def _as_json(post: ReceivedPost) -> dict[str, object]:
    return {
        "number": post.number,
        "received_at": post.received_at.isoformat(),
        "bytes": len(post.body or b""),
        "problem": post.problem,
    }
