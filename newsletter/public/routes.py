"""Every public address, in one table."""

from __future__ import annotations

from pathlib import Path

from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from newsletter.public import archive, brand, media, preferences, unsubscribe, webhook

ROUTES: tuple[BaseRoute, ...] = (
    Route("/unsubscribe/{token}", unsubscribe.show, methods=["GET"]),
    Route("/unsubscribe/{token}", unsubscribe.leave, methods=["POST"]),
    Route("/preferences/{token}", preferences.show, methods=["GET"]),
    Route("/webhooks/sendgrid/events", webhook.receive, methods=["POST"]),
    Route("/archive/{slug}", archive.show, methods=["GET"]),
    Route("/media/{name}", media.show, methods=["GET"]),
    Route("/static/brand.css", brand.show, methods=["GET"]),
    Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
)
