"""What the files in `campaigns/` may say, key by key. `docs/files.md` is made from these descriptions."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, RootModel, Tag

from newsletter.campaigns.send_times import SendTime, check_day, read_send_time
from newsletter.staff_files import Language


class Definition(BaseModel):
    """A part of a file: frozen, and strict about keys that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, arbitrary_types_allowed=True)


def _one_line(text: str) -> str:
    # Subjects and names go into mail headers, where a line end would start another header (RFC 5322, 2.2).
    if re.search(r"[\r\n\x00-\x1f\x7f\x85\u2028\u2029]", text):
        raise ValueError("has a line break or a control character. | Write it on one line.")
    return text


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and parts.hostname and not parts.username and parts.port != 0
    except ValueError:
        valid = False
    if not valid or re.search(r"""[\s<>"'`\\{}|^\x00-\x20\x7f]""", text):
        raise ValueError(f"`{text[:80]}` is not a web address. | Write it whole, such as https://www.example.org/page.")
    return text


def _inner_path(text: str) -> str:
    if "\\" in text:
        raise ValueError(f"`{text}` has a backslash. | Write / between folders: pictures/road.png.")
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or re.search(r"[:\x00-\x1f]", text) or text.startswith("~"):
        raise ValueError(f"`{text}` leads out of the folder. | Name a file inside the folder.")
    return str(path)


def _month(text: str) -> str:
    if not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", text):
        raise ValueError(f"`{text}` is not a month. | Write year and month, such as 2026-11.")
    return text


def _send_time(value: Any) -> SendTime:
    if isinstance(value, SendTime):
        return value
    return read_send_time(value if isinstance(value, str) else "")


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not (isinstance(value, str) and (found := re.fullmatch(r"(?:(\d{1,2}):)?(\d{1,3}):([0-5]\d)", value.strip()))):
        raise ValueError(f'`{value}` is not a duration. | Write minutes and seconds, such as "12:40".')
    return timedelta(hours=int(found[1] or 0), minutes=int(found[2]), seconds=int(found[3]))


Line = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_one_line)]
Reference = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_one_line)]
Words = Annotated[str, Field(min_length=1, max_length=5000)]
WebAddress = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_web_address)]
InnerPath = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_inner_path)]
Month = Annotated[str, AfterValidator(_month)]
Day = Annotated[date, AfterValidator(check_day)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
When = Annotated[SendTime, BeforeValidator(_send_time)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]


class PictureEntry(Definition):
    """A picture: a field of an item, never inside a text."""

    file: InnerPath = Field(description="The picture's file, inside the folder: PNG, JPEG, WebP or GIF, up to 10 MB.")
    alt: Annotated[str, Field(max_length=300), AfterValidator(_one_line)] = Field(
        description='What it shows, for readers who do not see it. Write "" only for pure decoration.'
    )
    credit: Line | None = Field(None, description="Who made it, shown small below it.")


class ArticleEntry(Definition):
    """An article among the items of a mailing."""

    article: InnerPath = Field(description="The article's Markdown file in the campaign's folder.")
    picture: PictureEntry | None = Field(None, description="A picture shown above the article.")


class VideoEntry(Definition):
    """A video among the items of a mailing."""

    video: WebAddress = Field(description="Where the video can be watched.")
    title: Line = Field(description="Its title.")
    by: Line | None = Field(None, description="Who speaks or made it.")
    duration: Duration | None = Field(None, description='How long it takes, in quotes: "12:40" or "1:02:30".')
    thumbnail: PictureEntry | None = Field(None, description="A still from it; the play badge is drawn onto it.")
    captions: bool = Field(False, description="true when it has captions for people who do not hear it.")
    transcript: WebAddress | None = Field(None, description="Where the spoken words can be read.")
    summary: Words | None = Field(None, description="One to three plain sentences.")


class PodcastEntry(Definition):
    """A podcast episode among the items of a mailing."""

    podcast: WebAddress = Field(description="Where the episode can be heard.")
    title: Line = Field(description="The episode's title.")
    show: Line | None = Field(None, description="The name of the podcast.")
    by: Line | None = Field(None, description="Who speaks in it.")
    duration: Duration | None = Field(None, description='How long it takes, in quotes: "38:00".')
    cover: PictureEntry | None = Field(None, description="The cover picture of the show or episode.")
    transcript: WebAddress | None = Field(None, description="Where the spoken words can be read.")
    summary: Words | None = Field(None, description="One to three plain sentences.")


ITEM_KINDS = ("article", "video", "podcast")


def _item_kind(value: Any) -> str | None:
    kinds = [kind for kind in ITEM_KINDS if isinstance(value, dict) and kind in value]
    return kinds[0] if len(kinds) == 1 else None


ItemEntry = Annotated[
    Annotated[ArticleEntry, Tag("article")]
    | Annotated[VideoEntry, Tag("video")]
    | Annotated[PodcastEntry, Tag("podcast")],
    Discriminator(
        _item_kind,
        custom_error_type="item_kind",
        custom_error_message="must be one article, one video or one podcast. "
        "| Begin each item with one of `- article:`, `- video:` or `- podcast:`.",
    ),
]


class MailingEntry(Definition):
    """One dated mail of the campaign."""

    name: Slug = Field(description="Its name, in small letters and dashes: opening, watch-and-listen.")
    send_at: When | None = Field(
        None, description="When it goes out, in clinic time. Absent means the sending rule of newsletter.toml."
    )
    subject: Line = Field(description="The subject line. Phones show about 50 characters.")
    preheader: Line | None = Field(
        None, description="The line that inboxes show after the subject: 40 to 90 characters."
    )
    opening: Words | None = Field(None, description="A few words before the first item, in Markdown.")
    items: tuple[ItemEntry, ...] = Field(min_length=1, description="Articles, videos and podcasts, in order.")


class AudienceEntry(Definition):
    """Who the mailings of the campaign are for."""

    topics: tuple[Slug, ...] = Field((), description="Readers of any of these topics. Absent means everybody.")
    joined_before: Day | None = Field(None, description="Only readers who joined before this day.")
    not_mailed_within: Annotated[int, Field(ge=1, le=365)] | None = Field(
        None, description="Only readers who had no mail in this many days."
    )
    any_language: bool = Field(False, description="true sends it also to readers of other languages.")


class CampaignEntry(Definition):
    """`campaign.yaml`: one month on one theme."""

    month: Month = Field(description="Year and month: 2026-11.")
    theme: Line = Field(description="What the month is about, as readers shall read it.")
    language: Language = Field("en", description="The language it is written in, as a code: en, fr, ar.")
    audience: AudienceEntry = Field(AudienceEntry(), description="Who it is for.")
    archive: bool = Field(
        True, description="false keeps its mailings out of the public archive: only those who got them can read them."
    )
    mailings: tuple[MailingEntry, ...] = Field(min_length=1, description="The mails of the month.")


class ArticleFrontMatter(Definition):
    """The lines between `---` at the head of an article."""

    title: Line = Field(description="The title.")
    author: Slug | None = Field(None, description="Who signs it: an id of authors.yaml.")
    references: tuple[Reference, ...] = Field((), description="Works cited, one plain entry each, in APA 7.")
    reviewed_by: Slug | None = Field(None, description="Who checked it: an id of authors.yaml.")
    written: Day | None = Field(None, description="The day it was written.")
    review_by: Day | None = Field(None, description="The day by which it must be read again.")


class AuthorEntry(Definition):
    """A person who signs articles, in `authors.yaml` under an id such as `ines-varga`."""

    name: Line = Field(description="The name as readers see it.")
    role: Line | None = Field(None, description="What they do: Clinical Psychologist.")
    credentials: tuple[Line, ...] = Field((), description="Degrees and registrations.")
    photo: PictureEntry | None = Field(None, description="A portrait, in the folder campaigns/.")


class AuthorsFile(RootModel[dict[Slug, AuthorEntry]]):
    """`authors.yaml`: people by their ids."""
