"""The sample month: what a new clinic sees first must be right, complete and its own."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image, ImageChops

from newsletter.campaigns.markdown import to_words
from newsletter.campaigns.model import Article, Campaign, Picture, Podcast, Video
from newsletter.settings import read_settings
from newsletter.subscribers.topics import read_topics
from newsletter.wiring import read_named_campaign

ROOT = Path(__file__).resolve().parents[2]
DRAWN = sorted(path.relative_to(ROOT) for path in (ROOT / "campaigns").rglob("*.png"))


@pytest.fixture(scope="module")
def month() -> Campaign:
    return read_named_campaign(read_settings(ROOT, environ={}), "2026-11-neuroplastic-pain")


@pytest.fixture(scope="module")
def article(month: Campaign) -> Article:
    found = month.mailings[0].items[0]
    assert isinstance(found, Article)
    return found


def pictures_of(month: Campaign) -> Iterator[Picture | None]:
    for mailing in month.mailings:
        for item in mailing.items:
            match item:
                case Article():
                    yield item.picture
                    for person in (item.author, item.reviewed_by):
                        yield person.photo if person else None
                case Video():
                    yield item.thumbnail
                case Podcast():
                    yield item.cover


def test_it_goes_out_in_two_mailings_on_tuesdays(month: Campaign) -> None:
    assert [(mailing.name, mailing.send_at) for mailing in month.mailings] == [
        ("opening", datetime(2026, 11, 3, 9, tzinfo=UTC)),
        ("watch-and-listen", datetime(2026, 11, 17, 9, tzinfo=UTC)),
    ]


def test_it_shows_every_kind_of_item_with_everything_that_an_item_can_have(month: Campaign) -> None:
    media = [item for mailing in month.mailings for item in mailing.items if not isinstance(item, Article)]
    assert [type(item).__name__ for item in media] == ["Video", "Video", "Video", "Podcast", "Podcast"]
    for item in media:
        assert item.duration
        assert item.by
        assert item.summary
        assert item.transcript
        assert not isinstance(item, Video) or item.captions


def test_every_picture_is_there_is_small_and_is_described(month: Campaign) -> None:
    pictures = list(pictures_of(month))
    assert len(pictures) == 8
    for picture in pictures:
        assert picture is not None
        assert picture.path.stat().st_size < 155_000
        assert len(picture.alt) > 10


def test_it_names_no_real_address(month: Campaign) -> None:
    for item in (item for mailing in month.mailings for item in mailing.items):
        if not isinstance(item, Article):
            for url in (item.url, item.transcript):
                assert (urlsplit(url or "").hostname or "").endswith(".example.org")
    with (ROOT / "subscribers" / "sample.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            assert parseaddr(row["email"])[1].endswith(("@example.org", ".example.org"))


def test_the_article_is_signed_reviewed_dated_and_cites_what_it_lists(article: Article) -> None:
    assert article.author
    assert article.reviewed_by
    assert len(article.author.credentials) == 4
    assert article.written
    assert article.review_by
    assert (article.review_by - article.written).days <= 3 * 365
    assert "(Derbyshire et al., 2004)" in " ".join(article.body.split())
    assert "(Hashmi et al., 2013)" in " ".join(article.body.split())
    assert [re.findall(r"https://doi\.org/\S+$", reference) for reference in article.references] == [
        ["https://doi.org/10.1016/j.neuroimage.2004.04.033"],
        ["https://doi.org/10.1093/brain/awt211"],
    ]


def test_the_article_is_short_plain_and_careful(article: Article) -> None:
    words = to_words(article.body)
    assert 330 <= len(words.split()) <= 460
    for sentence in re.split(r"(?<=[.!?])\s+|\n", re.sub(r"\([A-Z][^)]*\d{4}\)", "", words)):
        assert len(sentence.split()) <= 20, sentence
    for said in ("Pain is always real.", "See a doctor first.", "not a substitute for care"):
        assert said in words


def test_the_sample_readers_chose_topics_that_exist() -> None:
    topics = read_topics(ROOT)
    with (ROOT / "subscribers" / "sample.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["email", "language", "topics", "text_only"]
    for row in rows:
        assert set(row["topics"].split(";")) <= set(topics)
        assert row["text_only"] in ("yes", "no")


def test_the_pictures_can_be_drawn_again(tmp_path: Path) -> None:
    drawing = [sys.executable, str(ROOT / "scripts" / "draw-sample-pictures"), str(tmp_path)]
    subprocess.run(drawing, check=True, capture_output=True)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.png")) == DRAWN
    for name in DRAWN:
        again, committed = (Image.open(root / name).convert("RGB") for root in (tmp_path, ROOT))
        # Another build of the picture library may round the last bit of a colour differently.
        difference = ImageChops.difference(again, committed)
        assert max(difference.tobytes()) <= 2, name
