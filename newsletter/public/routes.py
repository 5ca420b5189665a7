"""Every public address, in one table."""

from __future__ import annotations

from pathlib import Path

from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from newsletter.public import archive, brand, crawlers, home, inbound, media, preferences, unsubscribe, webhook

ROUTES: tuple[BaseRoute, ...] = (
    Route("/", home.show, methods=["GET"]),
    Route("/unsubscribe/{token}", unsubscribe.show, methods=["GET"]),
    Route("/unsubscribe/{token}", unsubscribe.leave, methods=["POST"]),
    Route("/preferences/{token}", preferences.show, methods=["GET"]),
    Route("/webhooks/sendgrid/events", webhook.receive, methods=["POST"]),
    Route("/webhooks/sendgrid/inbound", inbound.receive, methods=["POST"]),
    Route("/archive", archive.enter, methods=["GET"]),
    Route("/archive/", archive.show_newest, methods=["GET"]),
    Route("/archive/feed.xml", archive.show_feed, methods=["GET"]),
    Route("/archive/{year:int}", archive.show_year, methods=["GET"]),
    Route("/archive/{slug}", archive.show, methods=["GET"]),
    Route("/robots.txt", crawlers.show_robots, methods=["GET"]),
    Route("/sitemap.xml", crawlers.show_sitemap, methods=["GET"]),
    Route("/media/{name}", media.show, methods=["GET"]),
    Route("/static/brand.css", brand.show, methods=["GET"]),
    Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
)
