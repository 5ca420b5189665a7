"""Makes a staff member's picture into what readers get: upright, in sRGB, twice the shown size, nothing else in it.

Phones write the place, the time and sometimes the owner's name into a photograph. None of it leaves the house, because
only pixels are carried over into a new file.
"""

from __future__ import annotations

import io
import struct
import zlib
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from PIL import Image, ImageCms, ImageDraw, ImageOps

from newsletter.campaigns.model import Picture
from newsletter.campaigns.pictures import FORMATS, measure_picture
from newsletter.rendering.model import MailPicture

DENSITY = 2
"""Pixels for each pixel of the layout: sharp on phones, which have two or three."""

FEW_COLOURS = 256
"""Drawings with no more colours than this stay PNG, which keeps flat areas clean; JPEG would smear their edges."""

JPEG_QUALITY = 84

PLATE = (7, 44, 53, 190)
SIGN = (255, 255, 255, 245)
RING = (255, 255, 255, 215)
BADGE_SHARE = 0.16
"""The play badge's diameter as a share of the width; a thumb finds it on a phone."""

_SMOOTHING = 4

_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    IndexError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What decoders raise on files that are cut off or made to harm."""


def prepare_picture(picture: Picture, *, width: int, play_badge: bool = False) -> MailPicture:
    """A picture as readers get it, for a place that is `width` pixels wide; never enlarged, always the same bytes.

    Raises ValueError, as "problem. | remedy", when the file cannot be decoded.
    """
    try:
        content_hash = sha256(picture.path.read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}). | Put the picture there again.") from None
    return _prepare(picture.path, content_hash, width, play_badge)


# The hash is part of the key, the content is not: a cache of ten-megabyte photographs would fill a small server.
@lru_cache(maxsize=128)
def _prepare(path: Path, content_hash: str, width: int, play_badge: bool) -> MailPicture:
    content = path.read_bytes()
    if sha256(content).hexdigest() != content_hash:
        raise ValueError("was changed while it was read. | Try again.")
    image = _decode(content)
    if image.width > width * DENSITY:
        height = max(round(image.height * width * DENSITY / image.width), 1)
        image = image.resize((width * DENSITY, height), Image.Resampling.LANCZOS)
    if play_badge:
        image = _with_play_badge(image)
    return _encode(image)


def _decode(content: bytes) -> Image.Image:
    """The first frame of a picture, upright, as RGB or, where parts of it are transparent, RGBA; all of it in sRGB."""
    measure_picture(content)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as source:
            source.load()
            upright = ImageOps.exif_transpose(source)
            image = _in_srgb(upright, upright.info.get("icc_profile"))
    except _UNREADABLE:
        raise ValueError("is damaged: not all of it can be read. | Save or copy it again.") from None
    return _opaque_if_possible(image)


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.mode.startswith("I"):
        # Sixteen bits of grey; converting them directly would turn everything above 255 white.
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    transparent = image.has_transparency_data
    if profile and image.mode in ("RGB", "RGBA", "CMYK"):
        try:
            return _through_profile(image, profile, "RGBA" if image.mode == "RGBA" else "RGB")
        except (ImageCms.PyCMSError, OSError):
            pass  # A profile that nobody can read says nothing; the usual conversion is right for nearly all.
    return image.convert("RGBA" if transparent else "RGB")


def _through_profile(image: Image.Image, profile: bytes, mode: str) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    assert converted is not None
    return converted


def _opaque_if_possible(image: Image.Image) -> Image.Image:
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    return image


def _with_play_badge(image: Image.Image) -> Image.Image:
    """The picture with a play sign in its middle: a dark plate keeps it visible on light, a white ring on dark."""
    diameter = max(round(min(image.width * BADGE_SHARE, image.height * 0.45)), 1)
    badge = _play_badge(diameter)
    marked = image.convert("RGBA")
    marked.alpha_composite(badge, ((image.width - diameter) // 2, (image.height - diameter) // 2))
    return _opaque_if_possible(marked)


def _play_badge(diameter: int) -> Image.Image:
    size = diameter * _SMOOTHING
    badge = Image.new("RGBA", (size, size), (*PLATE[:3], 0))
    draw = ImageDraw.Draw(badge)
    draw.ellipse((0, 0, size - 1, size - 1), fill=PLATE)
    inset, ring = round(size * 0.045), round(size * 0.026)
    draw.ellipse((inset, inset, size - 1 - inset, size - 1 - inset), outline=RING, width=max(ring, 1))
    # A triangle looks centred when its centre of gravity is; round joints make its corners as soft as the plate.
    left, right, half = size * 0.4, size * 0.695, size * 0.17
    corners = [(left, size / 2 - half), (right, size / 2), (left, size / 2 + half)]
    soft = size * 0.03
    draw.polygon(corners, fill=SIGN)
    draw.line([*corners, corners[0]], fill=SIGN, width=round(soft * 2))
    for x, y in corners:
        draw.ellipse((x - soft, y - soft, x + soft, y + soft), fill=SIGN)
    return badge.reduce(_SMOOTHING)


def _encode(image: Image.Image) -> MailPicture:
    """The pixels as a new file: PNG for transparent pictures and flat drawings, JPEG for everything else."""
    # Pillow writes some of what it read (comments, profiles) into the new file unless it forgets it.
    image.info = {}
    buffer = io.BytesIO()
    if image.mode == "RGBA" or image.getcolors(FEW_COLOURS):
        image.save(buffer, "PNG", optimize=True)
        extension, media_type = "png", "image/png"
    else:
        image.save(buffer, "JPEG", quality=JPEG_QUALITY, progressive=True, optimize=True)
        extension, media_type = "jpg", "image/jpeg"
    content = buffer.getvalue()
    digest = sha256(content).hexdigest()
    return MailPicture(f"{digest}.{extension}", digest, media_type, content, image.width, image.height)
