"""Draws docs/images/letter.png from the sample month, in the browser of the tests."""

from __future__ import annotations

import base64
import os
import tempfile
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import sync_playwright

from newsletter.outputs import write_mailings
from newsletter.settings import read_settings
from newsletter.wiring import choose_mailings, read_named_campaign
from tests.browser.chromium import ARGUMENTS, find_chromium
from tests.node import NODE

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "images" / "letter.png"
STAGE = """
<style>
  body { margin: 0; width: 1180px; height: 900px; overflow: hidden; }
  body { background: linear-gradient(160deg, #dfe9e6, #f3efe7); }
  div { position: absolute; overflow: hidden; box-shadow: 0 18px 50px rgb(20 50 50 / 25%%); }
  .desktop { left: 50px; top: 45px; width: 700px; height: 900px; border-radius: 10px; }
  .phone { left: 800px; top: 85px; width: 320px; height: 700px; border-radius: 34px; border: 10px solid #17211f; }
  img { display: block; width: 100%%; }
</style>
<div class="desktop"><img src="data:image/png;base64,%s"></div>
<div class="phone"><img src="data:image/png;base64,%s"></div>
"""


def main() -> None:
    """Render, take two screenshots, put them side by side."""
    os.environ["PLAYWRIGHT_NODEJS_PATH"] = str(NODE)
    chromium = find_chromium()
    settings = read_settings(ROOT, {})
    campaign = read_named_campaign(settings, "2026-11")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        written = write_mailings(settings, campaign, choose_mailings(campaign, None), Path(folder))
        paths = [path for path in written if path.suffix == ".html"]
        browser = playwright.chromium.launch(
            executable_path=chromium.executable, args=ARGUMENTS, env={**os.environ, **chromium.environment}
        )
        shots = []
        schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
        for path, width, scheme in zip(paths, (700, 375), schemes, strict=True):
            page = browser.new_page(
                viewport={"width": width, "height": 900}, device_scale_factor=2, color_scheme=scheme
            )
            page.goto(path.as_uri())
            shots.append(base64.b64encode(page.screenshot()).decode())
        stage = browser.new_page(viewport={"width": 1180, "height": 900}, device_scale_factor=1.5)
        stage.set_content(STAGE % tuple(shots))
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        stage.screenshot(path=TARGET)
        browser.close()
    with Image.open(TARGET) as picture:
        picture.convert("RGB").quantize(256).save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
