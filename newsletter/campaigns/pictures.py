"""Looks at a picture's head: is it one, and how large. Decoding it comes later, in rendering."""

from __future__ import annotations

import io
import warnings

from PIL import Image, UnidentifiedImageError

FILE_LIMIT = 10_000_000
PIXEL_LIMIT = 40_000_000
"""Pixels a picture may have; a decoder would need four bytes for each."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


def measure_picture(content: bytes) -> tuple[int, int]:
    """Width and height in pixels, without decoding; raises ValueError on what is no picture that mail can show."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                width, height = image.size
    except Image.DecompressionBombError:
        raise ValueError("has far too many pixels. | Make it smaller: 1,200 pixels wide is plenty.") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise ValueError("is not a picture that mail can show. | Save it as PNG or JPEG.") from None
    if width * height > PIXEL_LIMIT:
        raise ValueError(f"has {width} × {height} pixels, too many. | Make it smaller: 1,200 pixels wide is plenty.")
    return width, height
