"""The clinic's colours and fonts for its pages, as custom properties made from brand.yaml."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from newsletter.rendering.brand import Palette
from newsletter.site import site_of


def show(request: Request) -> Response:
    """The style sheet that the others build on."""
    brand = site_of(request).brand
    fonts, colours = brand.fonts, brand.colours
    css = (
        f":root {{ --heading: {fonts.heading}; --body: {fonts.body}; {_properties(colours.light)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {_properties(colours.dark)} }} }}\n"
    )
    return Response(css, media_type="text/css", headers={"Cache-Control": "max-age=300"})


def _properties(palette: Palette) -> str:
    return " ".join(f"--{name.replace('_', '-')}: {colour};" for name, colour in palette.model_dump().items())
