"""Commands that keep running: serve, web."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from newsletter.cli.console import load_settings, say
from newsletter.cli.rows import opened

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

    from newsletter.database.session import Database
    from newsletter.settings import Settings

Host = Annotated[str, typer.Option("--host", help="The address to listen on.")]
HealthPort = Annotated[
    int,
    typer.Option("--health-port", min=0, max=65535, help="A port for /healthz, /readyz and /metrics; 0: none."),
]
Port = Annotated[int, typer.Option("--port", min=1, max=65535, help="The port to listen on.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(serve)
    app.command()(web)


def serve(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Run all of it in one process: the web, the scheduler and the sender, with either database."""
    from newsletter.errors import Refused
    from newsletter.log import start_logging
    from newsletter.schedule.runner import make_runner

    settings = load_settings()
    start_logging(settings.machine.log_level)
    with opened(settings) as database:
        server = make_server(settings, database, host, port)
        runner = make_runner(settings, database)
        # In a thread of its own the server leaves the signals alone; it would end the process as soon as it has ended
        # itself, with a batch still on its way.
        answering = threading.Thread(target=server.run, name="newsletter-web", daemon=True)
        ended = told_to_end()
        runner.start()
        answering.start()
        # What died is told by the end of the process, so that whatever watches over it starts it again.
        while not ended.wait(0.5) and runner.is_alive and answering.is_alive():
            pass
        server.should_exit = True
        answering.join()
        runner.stop()
        if not ended.is_set():
            raise Refused("The web or the scheduler has died; the log says why. Start it again: newsletter serve")


def web(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    public: Annotated[bool, typer.Option("--public", help="Only the pages of readers, without the studio.")] = False,
) -> None:
    """Run the web alone; the scheduler is another process."""
    from newsletter.log import start_logging

    settings = load_settings()
    start_logging(settings.machine.log_level)
    with opened(settings) as database:
        run_web(settings, database, host, port, public_only=public)


def run_web(settings: Settings, database: Database, host: str, port: int, *, public_only: bool = False) -> None:
    """Answer requests until the process is asked to end; raises Refused when the port is taken."""
    server = make_server(settings, database, host, port, public_only=public_only)
    # It hands on the signal that ended it when all is answered; without a taker that would be the end by a failure.
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, server.handle_exit)
    server.run()


def make_server(
    settings: Settings, database: Database, host: str, port: int, *, public_only: bool = False
) -> uvicorn.Server:
    """The web, to be run; says where it listens. Raises Refused when the port is taken."""
    from newsletter.site import make_site
    from newsletter.web import create_app, has_studio

    app = create_app(make_site(settings, database), public_only=public_only)
    server = _make_server(app, host, port, proxies=settings.machine.trusted_proxies)
    say(f"Listening on http://{host}:{port}")
    if has_studio(settings, public_only=public_only):
        say(f"The studio: http://{host}:{port}/studio/inbox")
    elif not public_only:
        say("Without accounts, the studio is there only with a BASE_URL on this machine.")
    say("End with Ctrl-C.")
    return server


@contextmanager
def answering_health(settings: Settings, database: Database, port: int) -> Iterator[None]:
    """Answer /healthz, /readyz and /metrics on a port of this machine meanwhile; 0: on none."""
    if not port:
        yield
        return
    from newsletter.operations.routes import create_health_app
    from newsletter.site import make_site

    server = _make_server(create_health_app(make_site(settings, database)), "127.0.0.1", port)
    answering = threading.Thread(target=server.run, name="newsletter-health", daemon=True)
    answering.start()
    try:
        yield
    finally:
        server.should_exit = True
        answering.join()


def _make_server(app: ASGIApp, host: str, port: int, *, proxies: str = "") -> uvicorn.Server:
    """`proxies` are those who are believed for whom they ask, by address or network, with commas between."""
    import uvicorn

    refuse_taken_port(host, port)
    # Who asked for what is nobody's business: no access log, and no header that names the server.
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        # A reader whose connection hangs keeps no batch from being recorded.
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(config)


def told_to_end() -> threading.Event:
    """An event that is set when this process is told to end; told a second time, it ends at once."""
    ended = threading.Event()

    def end(*_: object) -> None:
        ended.set()
        for kind in (signal.SIGINT, signal.SIGTERM):
            signal.signal(kind, signal.SIG_DFL)

    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, end)
    return ended


def refuse_taken_port(host: str, port: int) -> None:
    """Raise Refused when something else listens there already."""
    import socket

    from newsletter.errors import Refused

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Refused(
                f"Cannot listen on {host}:{port} ({error.strerror}). Does newsletter serve run already? "
                "Otherwise choose another with --port."
            ) from None


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
