"""A campaign as a value: read whole, checked, and with everything it names resolved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path


@dataclass(frozen=True)
class Picture:
    """A picture of an item: an existing file inside the workspace, with the words that stand for it.

    `width` and `height` are the file's own pixels; `name` is its path within the workspace.
    """

    path: Path
    name: str
    alt: str
    credit: str | None
    width: int
    height: int


@dataclass(frozen=True)
class Author:
    """A person who signs or reviews articles."""

    id: str
    name: str
    role: str | None
    credentials: tuple[str, ...]
    photo: Picture | None


@dataclass(frozen=True)
class Article:
    """An article with its text in Markdown; `body_line` is the line of `name` on which the text begins."""

    name: str
    title: str
    body: str
    body_line: int
    author: Author | None
    reviewed_by: Author | None
    references: tuple[str, ...]
    written: date | None
    review_by: date | None
    picture: Picture | None


@dataclass(frozen=True)
class Video:
    """A video: a linked still, never a player inside the mail."""

    url: str
    title: str
    by: str | None
    duration: timedelta | None
    thumbnail: Picture | None
    captions: bool
    transcript: str | None
    summary: str | None


@dataclass(frozen=True)
class Podcast:
    """An episode of a podcast."""

    url: str
    title: str
    show: str | None
    by: str | None
    duration: timedelta | None
    cover: Picture | None
    transcript: str | None
    summary: str | None


Item = Article | Video | Podcast


@dataclass(frozen=True)
class Mailing:
    """One dated mail: `send_at` is an instant in UTC, `line` and `subject_line` are those of campaign.yaml."""

    name: str
    send_at: datetime
    subject: str
    preheader: str | None
    opening: str | None
    items: tuple[Item, ...]
    line: int
    subject_line: int


@dataclass(frozen=True)
class AudienceRule:
    """Who a campaign is for; readers of another language are left out unless `any_language`."""

    topics: tuple[str, ...] = ()
    joined_before: date | None = None
    not_mailed_within: int | None = None
    any_language: bool = False


@dataclass(frozen=True)
class Campaign:
    """One month on one theme. `id` is the folder's name; `file` is campaign.yaml's path within the workspace.

    `in_archive` says whether everybody may read its mailings once they have gone out.
    """

    id: str
    file: str
    year: int
    month: int
    theme: str
    language: str
    audience: AudienceRule
    in_archive: bool
    mailings: tuple[Mailing, ...]
