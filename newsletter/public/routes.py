"""Every public address, in one table."""

from __future__ import annotations

from pathlib import Path

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from newsletter.public import (
    archive,
    brand,
    confirm,
    crawlers,
    erasing,
    home,
    inbound,
    media,
    personal_copy,
    preferences,
    subscribe,
    unsubscribe,
    webhook,
)
from newsletter.public.posts import takes_form

POSTED_TO_FROM_ELSEWHERE = (
    "/subscribe",
    "/unsubscribe/{token}",
    "/webhooks/sendgrid/events",
    "/webhooks/sendgrid/inbound",
)
"""Forms on the clinic's own site, one click in a mail program (RFC 8058), and the provider."""


class _YearConvertor(StringConvertor):
    """Four digits; `int` takes any number of them, and Python refuses to read more than 4,300."""

    regex = "[0-9]{4}"


register_url_convertor("year", _YearConvertor())


def _preferences(what: str, handler: preferences.Handler, *, fresh: bool) -> Route:
    endpoint = takes_form(preferences.by_link(handler, fresh=fresh), "preferences")
    return Route(f"/preferences/{{token}}/{what}", endpoint, methods=["POST"])


ROUTES: tuple[BaseRoute, ...] = (
    Route("/", home.show, methods=["GET"]),
    Route("/subscribe", subscribe.show, methods=["GET"]),
    Route("/subscribe", subscribe.take, methods=["POST"]),
    Route("/subscribe", subscribe.preflight, methods=["OPTIONS"]),
    Route("/confirm/{token}", confirm.show, methods=["GET"]),
    Route("/confirm/{token}", takes_form(confirm.act, "confirm"), methods=["POST"]),
    Route("/unsubscribe/{token}", unsubscribe.show, methods=["GET"]),
    Route("/unsubscribe/{token}", unsubscribe.leave, methods=["POST"]),
    Route("/unsubscribe/{token}/reason", takes_form(unsubscribe.tell_reason, "reason"), methods=["POST"]),
    Route("/preferences/{token}", preferences.show, methods=["GET"]),
    _preferences("pause", preferences.start_pause, fresh=False),
    _preferences("link", preferences.mail_link, fresh=False),
    _preferences("resume", preferences.end_pause, fresh=True),
    _preferences("choices", preferences.save, fresh=True),
    _preferences("my-data", personal_copy.download, fresh=True),
    Route("/preferences/{token}/erase", erasing.show, methods=["GET"]),
    _preferences("erase", erasing.act, fresh=True),
    Route("/webhooks/sendgrid/events", webhook.receive, methods=["POST"]),
    Route("/webhooks/sendgrid/inbound", inbound.receive, methods=["POST"]),
    Route("/archive", archive.enter, methods=["GET"]),
    Route("/archive/", archive.show_newest, methods=["GET"]),
    Route("/archive/feed.xml", archive.show_feed, methods=["GET"]),
    Route("/archive/{year:year}", archive.show_year, methods=["GET"]),
    Route("/archive/{slug}", archive.show, methods=["GET"]),
    Route("/robots.txt", crawlers.show_robots, methods=["GET"]),
    Route("/sitemap.xml", crawlers.show_sitemap, methods=["GET"]),
    Route("/media/{name}", media.show, methods=["GET"]),
    Route("/static/brand.css", brand.show, methods=["GET"]),
    Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
)
