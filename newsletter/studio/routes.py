"""Every address of the studio, in one table."""

from __future__ import annotations

from pathlib import Path

from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from newsletter.studio import inbox

ROUTES: tuple[BaseRoute, ...] = (
    Route("/", inbox.home, methods=["GET"]),
    Route("/inbox", inbox.show, methods=["GET"]),
    Route("/inbox/{name}", inbox.show, methods=["GET"]),
    Route("/inbox/{name}/html", inbox.show_html, methods=["GET"]),
    Route("/inbox/{name}/file", inbox.download, methods=["GET"]),
    Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
)
