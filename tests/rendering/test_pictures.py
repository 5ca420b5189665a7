"""What readers get of a picture: its pixels, and nothing else that was in the file."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms, ImageDraw

from newsletter.campaigns.model import Picture
from newsletter.rendering.model import MailPicture
from newsletter.rendering.pictures import prepare_picture

Keep = Callable[..., Picture]

ORIENTATION, GPS, MAKER = 0x0112, 0x8825, 0x010F


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    """Puts a picture into a file, saved as its name says, as the reader of a campaign would find it."""

    def save(content: Image.Image | bytes, name: str, **how: Any) -> Picture:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.save(path, **how)
        return Picture(path, f"campaigns/x/{name}", "", None, 1, 1)

    return save


def photo(width: int = 320, height: int = 180, mode: str = "RGB") -> Image.Image:
    """Something with many colours: red grows to the right, green downwards."""
    red, green = (Image.linear_gradient("L").resize((width, height)) for _ in range(2))
    turned = Image.linear_gradient("L").rotate(90).resize((width, height))
    return Image.merge("RGB", (turned.transpose(Image.Transpose.FLIP_LEFT_RIGHT), green, red)).convert(mode)


def opened(prepared: MailPicture) -> Image.Image:
    image = Image.open(io.BytesIO(prepared.content))
    image.load()
    return image


def test_place_time_and_camera_of_a_photograph_stay_in_the_house(keep: Keep) -> None:
    exif = Image.Exif()
    exif[MAKER] = "Camera of Ines"
    exif.get_ifd(GPS).update({1: "N", 2: (51.0, 30.0, 26.0), 3: "W", 4: (0.0, 7.0, 39.0)})
    source = keep(photo(), "garden.jpg", exif=exif, comment=b"behind the clinic")
    with Image.open(source.path) as taken:
        assert taken.getexif().get_ifd(GPS)

    prepared = prepare_picture(source, width=600)

    assert not opened(prepared).getexif()
    assert set(opened(prepared).info) <= {
        "jfif",
        "jfif_version",
        "jfif_unit",
        "jfif_density",
        "progressive",
        "progression",
    }
    for told in (b"Exif", b"Ines", b"clinic", b"<x:xmpmeta", b"ICC_PROFILE"):
        assert told not in prepared.content


def test_texts_inside_a_png_stay_in_the_house(keep: Keep) -> None:
    drawing = Image.new("RGB", (40, 40), "teal")
    drawing.info["comment"] = "for Ines"
    prepared = prepare_picture(keep(drawing, "drawing.png", dpi=(300, 300)), width=600)
    chunks = re.findall(rb"IHDR|PLTE|IDAT|IEND|tEXt|iTXt|zTXt|pHYs|eXIf|iCCP", prepared.content)
    assert set(chunks) == {b"IHDR", b"IDAT", b"IEND"}


def test_a_photograph_taken_sideways_is_shown_upright(keep: Keep) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    sideways = Image.new("RGB", (300, 200), "white")
    ImageDraw.Draw(sideways).rectangle((0, 0, 299, 60), fill="red")

    upright = opened(prepare_picture(keep(sideways, "sideways.jpg", exif=exif, quality=95), width=600))

    assert upright.size == (200, 300)
    assert pixel(upright, 190, 150) == pytest.approx((254, 0, 0), abs=12)
    assert pixel(upright, 20, 150) == pytest.approx((255, 255, 255), abs=12)


def test_ink_colours_become_screen_colours(keep: Keep) -> None:
    prepared = prepare_picture(keep(photo(mode="CMYK"), "print.jpg", quality=95), width=600)
    assert opened(prepared).mode == "RGB"
    assert pixel(opened(prepared), 310, 90) == pytest.approx(photo().getpixel((310, 90)), abs=16)


def test_a_palette_keeps_its_colours(keep: Keep) -> None:
    flag = Image.new("RGB", (60, 40), "navy")
    ImageDraw.Draw(flag).rectangle((0, 0, 20, 40), fill="orange")
    prepared = prepare_picture(keep(flag.convert("P", palette=Image.Palette.ADAPTIVE), "flag.png"), width=600)
    assert prepared.media_type == "image/png"
    assert opened(prepared).mode == "RGB"
    assert pixel(opened(prepared), 5, 20) == (255, 165, 0)
    assert pixel(opened(prepared), 50, 20) == (0, 0, 128)


def test_sixteen_bits_of_grey_stay_grey(keep: Keep) -> None:
    scan = Image.frombytes("I;16", (256, 8), b"".join((value * 257).to_bytes(2, "little") for value in range(256)) * 8)
    scanned = opened(prepare_picture(keep(scan, "scan.png"), width=600)).convert("L")
    assert [scanned.getpixel((x, 4)) for x in (0, 64, 128, 255)] == pytest.approx([0, 64, 128, 255], abs=1)


def test_of_a_moving_picture_the_first_frame_is_shown(keep: Keep) -> None:
    frames = [Image.new("RGB", (80, 60), colour) for colour in ("green", "red", "blue")]
    moving = keep(frames[0], "moving.gif", save_all=True, append_images=frames[1:], duration=100, loop=0)
    prepared = prepare_picture(moving, width=600)
    assert prepared.media_type == "image/png"
    assert getattr(opened(prepared), "n_frames", 1) == 1
    assert pixel(opened(prepared), 40, 30) == (0, 128, 0)


@pytest.mark.parametrize("name", ["logo.png", "logo.webp"])
def test_what_is_transparent_stays_so(keep: Keep, name: str) -> None:
    logo = photo(200, 200).convert("RGBA")
    logo.putalpha(Image.new("L", (200, 200), 0))
    ImageDraw.Draw(logo).ellipse((50, 50, 150, 150), fill=(11, 85, 99, 255))
    prepared = prepare_picture(keep(logo, name), width=600)
    assert (prepared.media_type, prepared.name.rpartition(".")[2]) == ("image/png", "png")
    assert pixel(opened(prepared), 2, 2)[3] == 0
    assert pixel(opened(prepared), 100, 100)[3] == 255


def test_one_transparent_colour_is_enough(keep: Keep) -> None:
    drawing = Image.new("P", (20, 20), 0)
    drawing.putpalette([0, 0, 0, 200, 30, 30])
    drawing.putpixel((10, 10), 1)
    prepared = opened(prepare_picture(keep(drawing, "one.gif", transparency=0), width=600))
    assert (pixel(prepared, 0, 0)[3], pixel(prepared, 10, 10)) == (0, (200, 30, 30, 255))


def test_a_webp_photograph_becomes_what_every_mail_program_shows(keep: Keep) -> None:
    prepared = prepare_picture(keep(photo(), "photo.webp"), width=600)
    assert (prepared.media_type, opened(prepared).format) == ("image/jpeg", "JPEG")
    assert opened(prepared).info["progressive"]


def test_the_colours_of_another_profile_are_translated(keep: Keep) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    prepared = prepare_picture(keep(photo(), "profiled.jpg", icc_profile=lab, quality=95), width=600)
    assert "icc_profile" not in opened(prepared).info
    assert pixel(opened(prepared), 160, 90) == pytest.approx(photo().getpixel((160, 90)), abs=8)


def test_an_unreadable_profile_does_no_harm(keep: Keep) -> None:
    prepared = prepare_picture(keep(photo(), "odd.jpg", icc_profile=b"not a profile at all"), width=600)
    assert pixel(opened(prepared), 160, 90) == pytest.approx(photo().getpixel((160, 90)), abs=12)


def test_a_large_picture_is_made_twice_as_wide_as_it_is_shown(keep: Keep) -> None:
    prepared = prepare_picture(keep(photo(2000, 1000), "large.jpg"), width=600)
    assert (prepared.width, prepared.height) == opened(prepared).size == (1200, 600)


@pytest.mark.parametrize("badge", [False, True])
def test_a_small_picture_is_never_enlarged(keep: Keep, badge: bool) -> None:
    prepared = prepare_picture(keep(photo(90, 50), "small.jpg"), width=600, play_badge=badge)
    assert (prepared.width, prepared.height) == (90, 50)


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (4000, 2)])
@pytest.mark.parametrize("badge", [False, True])
def test_any_shape_can_be_shown(keep: Keep, size: tuple[int, int], badge: bool) -> None:
    prepared = prepare_picture(keep(photo(*size), "shape.png"), width=600, play_badge=badge)
    assert prepared.width == min(size[0], 1200)
    assert prepared.height >= 1


@pytest.mark.parametrize("badge", [False, True])
def test_the_same_picture_gives_the_same_bytes(keep: Keep, badge: bool) -> None:
    here = prepare_picture(keep(photo(), "here.jpg"), width=100, play_badge=badge)
    there = prepare_picture(keep(photo(), "there.jpg"), width=100, play_badge=badge)
    assert here == there
    assert here.name.startswith(here.sha256)


def test_a_picture_changed_on_disk_is_prepared_again(keep: Keep) -> None:
    first = prepare_picture(keep(Image.new("RGB", (50, 50), "teal"), "same.png"), width=600)
    second = prepare_picture(keep(Image.new("RGB", (50, 50), "coral"), "same.png"), width=600)
    assert first.sha256 != second.sha256
    assert pixel(opened(second), 25, 25) == (255, 127, 80)


@pytest.mark.parametrize("colour", ["white", "black", "#8FB08A"])
def test_the_play_badge_shows_on_light_and_on_dark(keep: Keep, colour: str) -> None:
    still = keep(Image.new("RGB", (1200, 675), colour), "still.png")
    marked = opened(prepare_picture(still, width=600, play_badge=True)).convert("RGB")
    plain = opened(prepare_picture(still, width=600)).convert("RGB")
    assert pixel(marked, 10, 10) == pytest.approx(pixel(plain, 10, 10), abs=3)
    sign, plate = pixel(marked, 600, 337), pixel(marked, 600, 337 + 60)
    assert min(sign) > 235
    assert max(plate) < 130


@pytest.mark.parametrize("name", ["cut.jpg", "cut.png", "cut.webp", "cut.gif"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_file_that_was_cut_off_is_refused_in_plain_words(keep: Keep, name: str, share: float) -> None:
    whole = keep(photo(), name).path.read_bytes()
    with pytest.raises(ValueError, match=r"^is (damaged: .+|not a picture that mail can show)\. \| Save .+\.$"):
        prepare_picture(keep(whole[: int(len(whole) * share)], name), width=600)


@pytest.mark.parametrize("name", ["torn.jpg", "torn.png", "torn.webp", "torn.gif"])
def test_whatever_is_in_a_file_it_is_shown_or_refused(keep: Keep, name: str) -> None:
    whole = keep(photo(64, 64), name).path.read_bytes()
    refusals: list[str] = []
    for at in range(0, len(whole), max(len(whole) // 200, 1)):
        torn = whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :]
        try:
            assert prepare_picture(keep(torn, name), width=600).content
        except ValueError as refusal:
            refusals.append(str(refusal))
    assert refusals
    assert all(" | " in refusal for refusal in refusals)


def test_a_picture_larger_than_any_screen_is_refused_before_it_is_decoded(keep: Keep) -> None:
    bomb = keep(Image.new("1", (50_000, 2_000)), "bomb.png")
    with pytest.raises(ValueError, match=r"too many\. \| Make it smaller"):
        prepare_picture(bomb, width=600)


def test_a_file_that_went_away_is_named_as_that(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^cannot be read .+ \| Put the picture there again\.$"):
        prepare_picture(Picture(tmp_path / "gone.png", "gone.png", "", None, 1, 1), width=600)


def pixel(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    value = image.getpixel((x, y))
    assert isinstance(value, tuple)
    return tuple(map(int, value))
