"""What a page may not do in a test: fail in a script, complain on the console, reach beyond this machine."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Route, WebError


def gather_faults(context: BrowserContext) -> list[str]:
    """A list that fills with the faults of every page of the context; requests beyond loopback are refused."""
    faults: list[str] = []

    def note_error(error: WebError) -> None:
        faults.append(f"error in the page: {error.error}")

    def note_console(message: ConsoleMessage) -> None:
        # Breaches of a Content-Security-Policy are told on the console alone.
        # A form that comes back with what is wrong in it is told as an error too.
        if message.type == "error" and "status of 422" not in message.text:
            faults.append(f"error on the console: {message.text}")

    def refuse(route: Route) -> None:
        faults.append(f"request beyond loopback: {route.request.url}")
        route.abort()

    context.route(lambda url: urlsplit(url).hostname not in ("127.0.0.1", "localhost"), refuse)
    context.on("weberror", note_error)
    context.on("console", note_console)
    return faults
