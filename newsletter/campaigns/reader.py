"""Reads one campaign's folder into a value, or tells everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo

from newsletter.campaigns import definition, model
from newsletter.campaigns.markdown import find_faults
from newsletter.campaigns.pictures import FILE_LIMIT, measure_picture
from newsletter.campaigns.send_times import SendTime
from newsletter.errors import DefinitionFaults, Fault, NotFound
from newsletter.staff_files import FileFaults, Place, Tree, parse, read_text, read_yaml, spell_place, split_front_matter


def read_campaign(
    folder: Path, *, time_zone: ZoneInfo, sending_rule: SendTime, topics: Collection[str]
) -> model.Campaign:
    """The campaign of a folder in `campaigns/`, complete and checked.

    `sending_rule` serves mailings without a time of their own; `topics` are the ids of topics.yaml.
    Raises NotFound when there is no such campaign, DefinitionFaults with every fault of all its files otherwise.
    """
    if not (folder / "campaign.yaml").is_file():
        raise NotFound(f"There is no campaign at {folder} (no campaign.yaml). `newsletter new` begins one.")
    return _Reading(folder, time_zone, sending_rule, topics).campaign()


def read_authors(campaigns: Path) -> Mapping[str, model.Author]:
    """The people of `authors.yaml` by id, none when the file is not there; raises DefinitionFaults."""
    faults: list[Fault] = []
    authors = _authors(campaigns, faults)
    if faults:
        raise DefinitionFaults(faults)
    return authors


def _authors(campaigns: Path, faults: list[Fault]) -> Mapping[str, model.Author]:
    path = campaigns / "authors.yaml"
    name = f"{campaigns.name}/authors.yaml"
    if not path.exists():
        return {}
    try:
        tree = read_yaml(read_text(path, name), name)
        entries = parse(definition.AuthorsFile, tree).root
    except FileFaults as error:
        faults.extend(error.faults)
        return {}
    authors = {
        key: model.Author(
            key,
            entry.name,
            entry.role,
            entry.credentials,
            read_picture(campaigns, campaigns.name, entry.photo, tree, (key, "photo"), faults),
        )
        for key, entry in entries.items()
    }
    return MappingProxyType(authors)


def read_picture(
    folder: Path,
    folder_name: str,
    entry: definition.PictureEntry | None,
    tree: Tree,
    place: Place,
    faults: list[Fault],
) -> model.Picture | None:
    """A picture that a file names at a place, found and measured; None, and one more of `faults`, when it is none."""
    if entry is None:
        return None
    path = folder / entry.file
    name = f"{folder_name}/{entry.file}"
    try:
        if not _is_inside(path, folder):
            raise ValueError("leads out of the folder. | Put the picture itself into the folder.")
        if not path.is_file():
            raise ValueError("is not there. | Put the picture there, or correct the name.")
        if path.stat().st_size > FILE_LIMIT:
            raise ValueError("is larger than 10 MB. | Make it smaller: 1,200 pixels wide is plenty.")
        width, height = measure_picture(path.read_bytes())
    except (ValueError, OSError) as error:
        words = f"cannot be read ({error.strerror}). | Check who may read it." if isinstance(error, OSError) else error
        problem, _, remedy = str(words).partition(" | ")
        faults.append(
            Fault(
                tree.name, tree.line_of((*place, "file")), spell_place((*place, "file")), f"`{name}` {problem}", remedy
            )
        )
        return None
    return model.Picture(path, name, entry.alt, entry.credit, width, height)


def _is_inside(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links that lead in a circle
        return False


class _Reading:
    """One reading of one folder: gathers faults on the way, and gives the campaign only when there are none."""

    def __init__(self, folder: Path, time_zone: ZoneInfo, sending_rule: SendTime, topics: Collection[str]) -> None:
        self.folder = folder
        self.name = f"{folder.parent.name}/{folder.name}"
        self.time_zone = time_zone
        self.sending_rule = sending_rule
        self.topics = topics
        self.faults: list[Fault] = []
        self.tree = Tree(f"{self.name}/campaign.yaml", {})

    def campaign(self) -> model.Campaign:
        self.authors = _authors(self.folder.parent, self.faults)
        try:
            text = read_text(self.folder / "campaign.yaml", self.tree.name)
            self.tree = read_yaml(text, self.tree.name)
            entry = parse(definition.CampaignEntry, self.tree)
        except FileFaults as error:
            raise DefinitionFaults([*error.faults, *self.faults]) from None
        self._check_names(entry)
        year, month = map(int, entry.month.split("-"))
        campaign = model.Campaign(
            id=self.folder.name,
            file=self.tree.name,
            year=year,
            month=month,
            theme=entry.theme,
            language=entry.language,
            audience=model.AudienceRule(**dict(entry.audience)),
            in_archive=entry.archive,
            mailings=tuple(self._mailing(m, at, year, month) for at, m in enumerate(entry.mailings)),
        )
        if self.faults:
            raise DefinitionFaults(self.faults)
        return campaign

    def _check_names(self, entry: definition.CampaignEntry) -> None:
        for at, topic in enumerate(entry.audience.topics):
            if topic not in self.topics:
                known = ", ".join(sorted(self.topics)) or "none yet"
                self._fault(
                    ("audience", "topics", at),
                    f"`{topic}` is not a topic.",
                    f"Use one of subscribers/topics.yaml: {known}.",
                )
        names: set[str] = set()
        for at, mailing in enumerate(entry.mailings):
            if mailing.name in names:
                self._fault(
                    ("mailings", at, "name"), f"`{mailing.name}` is there twice.", "Give each mailing its own name."
                )
            names.add(mailing.name)

    def _mailing(self, entry: definition.MailingEntry, at: int, year: int, month: int) -> model.Mailing:
        send_at = datetime.max.replace(tzinfo=UTC)
        try:
            send_at = (entry.send_at or self.sending_rule).in_month(year, month, self.time_zone)
        except ValueError as error:
            self._fault(("mailings", at, "send_at"), *str(error).split(" | "))
        if entry.opening:
            line = self.tree.line_of(("mailings", at, "opening"))
            self.faults.extend(find_faults(entry.opening, self.tree.name, line))
        return model.Mailing(
            name=entry.name,
            send_at=send_at,
            subject=entry.subject,
            preheader=entry.preheader,
            opening=entry.opening,
            items=tuple(
                item
                for i, e in enumerate(entry.items)
                if (item := self._item(e, ("mailings", at, "items", i))) is not None
            ),
            line=self.tree.line_of(("mailings", at)),
            subject_line=self.tree.line_of(("mailings", at, "subject")),
        )

    def _item(self, entry: definition.ItemEntry, place: Place) -> model.Item | None:
        match entry:
            case definition.ArticleEntry():
                picture = self._picture(entry.picture, (*place, "picture"))
                return self._article(entry.article, picture, (*place, "article"))
            case definition.VideoEntry():
                return model.Video(
                    entry.video,
                    entry.title,
                    entry.by,
                    entry.duration,
                    self._picture(entry.thumbnail, (*place, "thumbnail")),
                    entry.captions,
                    entry.transcript,
                    entry.summary,
                )
            case definition.PodcastEntry():
                return model.Podcast(
                    entry.podcast,
                    entry.title,
                    entry.show,
                    entry.by,
                    entry.duration,
                    self._picture(entry.cover, (*place, "cover")),
                    entry.transcript,
                    entry.summary,
                )

    def _picture(self, entry: definition.PictureEntry | None, place: Place) -> model.Picture | None:
        return read_picture(self.folder, self.name, entry, self.tree, place, self.faults)

    def _article(self, file: str, picture: model.Picture | None, place: Place) -> model.Article | None:
        path = self.folder / file
        name = f"{self.name}/{file}"
        if not _is_inside(path, self.folder):
            self._fault(place, f"`{file}` leads out of the folder.", "Put the article itself into the folder.")
            return None
        if not path.is_file():
            there = ", ".join(sorted(p.name for p in self.folder.glob("*.md") if p.is_file())) or "none"
            self._fault(place, f"there is no article `{file}`.", f"Articles in this folder: {there}.")
            return None
        try:
            tree, body, body_line = split_front_matter(read_text(path, name), name)
            front = parse(definition.ArticleFrontMatter, tree)
        except FileFaults as error:
            self.faults.extend(error.faults)
            return None
        if not body.strip():
            self.faults.append(Fault(name, body_line, "", "has no text.", "Write the article below the second `---`."))
        self.faults.extend(find_faults(body, name, body_line))
        return model.Article(
            name=name,
            title=front.title,
            body=body,
            body_line=body_line,
            author=self._person(front.author, tree, "author"),
            reviewed_by=self._person(front.reviewed_by, tree, "reviewed_by"),
            references=front.references,
            written=front.written,
            review_by=front.review_by,
            picture=picture,
        )

    def _person(self, key: str | None, tree: Tree, field: str) -> model.Author | None:
        if key is None:
            return None
        person = self.authors.get(key)
        authors_file = f"{self.folder.parent.name}/authors.yaml"
        if person is None and not any(fault.file == authors_file for fault in self.faults):
            known = ", ".join(sorted(self.authors)) or "none yet"
            self.faults.append(
                Fault(
                    tree.name,
                    tree.line_of((field,)),
                    field,
                    f"`{key}` is not in authors.yaml.",
                    f"Add this person there, or use one of: {known}.",
                )
            )
        return person

    def _fault(self, place: Place, problem: str, remedy: str = "") -> None:
        self.faults.append(Fault(self.tree.name, self.tree.line_of(place), spell_place(place), problem, remedy))
