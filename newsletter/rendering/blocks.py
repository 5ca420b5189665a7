"""Which template draws which kind of item, and what it may show of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from babel.units import format_unit

from newsletter.campaigns.citations import sort_references, split_links
from newsletter.campaigns.model import Article, Author, Item, Picture, Podcast, Video
from newsletter.languages import locale_of, spell_date

CONTENT_WIDTH = 600
COVER_WIDTH = 168
PORTRAIT_WIDTH = 72


@dataclass(frozen=True)
class PictureView:
    """A picture in the mail: where it is, and how large it is shown in CSS pixels."""

    src: str
    alt: str
    width: int
    height: int
    credit: str | None


@dataclass(frozen=True)
class AuthorView:
    """A person who signs an article."""

    name: str
    role: str | None
    credentials: tuple[str, ...]
    photo: PictureView | None


@dataclass(frozen=True)
class ReferenceView:
    """A reference as runs of words, each with its link or None; `plain` has the links written out."""

    runs: tuple[tuple[str, str | None], ...]

    @property
    def plain(self) -> str:
        """The reference for the text part."""
        return "".join(url or words for words, url in self.runs)


@dataclass(frozen=True)
class ArticleBlock:
    """An article, its references in order."""

    title: str
    body: str
    author: AuthorView | None
    reviewed_by: AuthorView | None
    written: str | None
    references: tuple[ReferenceView, ...]
    picture: PictureView | None
    kind: str = "article"


@dataclass(frozen=True)
class VideoBlock:
    """A video: its still has the play badge drawn in."""

    url: str
    title: str
    by: str | None
    duration: str | None
    captions: bool
    transcript: str | None
    summary: str | None
    picture: PictureView | None
    kind: str = "video"


@dataclass(frozen=True)
class PodcastBlock:
    """An episode of a podcast."""

    url: str
    title: str
    show: str | None
    by: str | None
    duration: str | None
    transcript: str | None
    summary: str | None
    picture: PictureView | None
    kind: str = "podcast"


Block = ArticleBlock | VideoBlock | PodcastBlock
ShowPicture = Callable[[Picture | None, int, bool], PictureView | None]


def make_block(item: Item, language: str, show_picture: ShowPicture) -> Block:
    """The block of an item. `show_picture` takes a picture, its width in CSS pixels, and whether to draw the badge."""
    match item:
        case Article():
            return ArticleBlock(
                title=item.title,
                body=item.body,
                author=_author(item.author, show_picture),
                reviewed_by=_author(item.reviewed_by, show_picture),
                written=spell_date(item.written, language) if item.written else None,
                references=tuple(
                    ReferenceView(tuple(split_links(entry))) for entry in sort_references(item.references)
                ),
                picture=show_picture(item.picture, CONTENT_WIDTH, False),
            )
        case Video():
            return VideoBlock(
                url=item.url,
                title=item.title,
                by=item.by,
                duration=spell_duration(item.duration, language) if item.duration else None,
                captions=item.captions,
                transcript=item.transcript,
                summary=item.summary,
                picture=show_picture(item.thumbnail, CONTENT_WIDTH, True),
            )
        case Podcast():
            return PodcastBlock(
                url=item.url,
                title=item.title,
                show=item.show,
                by=item.by,
                duration=spell_duration(item.duration, language) if item.duration else None,
                transcript=item.transcript,
                summary=item.summary,
                picture=show_picture(item.cover, COVER_WIDTH, False),
            )


def _author(author: Author | None, show_picture: ShowPicture) -> AuthorView | None:
    if author is None:
        return None
    return AuthorView(author.name, author.role, author.credentials, show_picture(author.photo, PORTRAIT_WIDTH, False))


def spell_duration(duration: timedelta, language: str) -> str:
    """A duration as readers say it: `13 min`, `1 hr 2 min`; minutes are rounded, and never to none."""
    minutes = max(round(duration.total_seconds() / 60), 1)
    locale = locale_of(language)
    parts = []
    if minutes >= 60:
        parts.append(format_unit(minutes // 60, "duration-hour", length="short", locale=locale))
    if minutes % 60 or not parts:
        parts.append(format_unit(minutes % 60, "duration-minute", length="short", locale=locale))
    return " ".join(parts)
