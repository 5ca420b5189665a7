"""Writes into a workspace's `campaigns/`: an imported article with its author, and the folder of a new month.

What staff wrote stays as it is, letter by letter: lines are added, never rewritten. Every new text is read back by
the campaign's own reader before anything is replaced, and either all of it is written or nothing.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import tempfile
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ruamel.yaml import YAML

from newsletter.campaigns import definition
from newsletter.campaigns.article_import import ImportedArticle, ImportedAuthor
from newsletter.campaigns.citations import fold
from newsletter.campaigns.reader import read_authors, read_campaign
from newsletter.campaigns.send_times import SendTime
from newsletter.errors import DefinitionFaults, NotFound, Refused
from newsletter.staff_files import FileFaults, Tree, parse, read_text, read_yaml

PLACEHOLDER = "Replace this text"
"""Begins every text of a new month that somebody still has to write; preflight looks for it."""

STARTER = "first-article.md"


@dataclass(frozen=True)
class Workplace:
    """What reading a campaign takes, beside its folder: the clinic's time zone, sending rule and topics."""

    time_zone: ZoneInfo
    sending_rule: SendTime
    topics: Collection[str]


@dataclass(frozen=True)
class WrittenArticle:
    """Where an article went: its file, its mailing, and who signs it; `notes` say what was decided on the way."""

    file: Path
    mailing: str
    author_id: str | None
    author_is_new: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class NewCampaign:
    """The folder of a new month, and the campaign whose ways it took over."""

    folder: Path
    like: Path | None
    notes: tuple[str, ...]


def write_article(
    folder: Path, article: ImportedArticle, place: Workplace, *, mailing: str | None = None, replace: bool = False
) -> WrittenArticle:
    """Add an article to a mailing of the campaign in `folder`, the first unless another is named.

    A person who is not in authors.yaml yet is added there. Raises Refused when the article is there already and
    `replace` is not set, NotFound for an unknown mailing, and DefinitionFaults when the files have faults.
    """
    campaigns = folder.parent
    name = f"{make_name(article.title) or 'article'}.md"
    path = folder / name
    if path.exists() and not (replace and path.is_file()):
        raise Refused(
            f"{campaigns.name}/{folder.name}/{name} is there already. "
            "Give the text another title, or import it with --replace."
        )
    before = _Texts(folder)
    notes: list[str] = []
    authors = read_authors(campaigns)
    author_id, is_new = _author_id(article.author, {key: person.name for key, person in authors.items()})
    if author_id and not is_new and article.author:
        known = authors[author_id]
        if (article.author.role or known.role, article.author.credentials or known.credentials) != (
            known.role,
            known.credentials,
        ):
            notes.append(f"{known.name} is in authors.yaml with another role or other degrees; these were kept.")
    texts: dict[Path, str] = {path: _article_text(article, author_id)}
    if is_new and article.author and author_id:
        texts[campaigns / "authors.yaml"] = _with_author(before.authors, author_id, article.author)
    text, meant, starter = _with_item(before.campaign, f"{campaigns.name}/{folder.name}", folder, name, mailing)
    if mailing not in (None, meant):
        notes.append(f"{name} is in the mailing `{meant}` already, so it was not added to `{mailing}`.")
    if text != before.campaign:
        texts[folder / "campaign.yaml"] = text
    _check_readable(folder, texts, place)
    before.check_unchanged()
    _write_all(texts)
    if starter:
        starter.unlink(missing_ok=True)
        notes.append(f"{starter.name} held only its sample text, so it was deleted.")
    return WrittenArticle(path, meant, author_id, is_new, tuple(notes))


def new_campaign(
    workspace: Path, month: str, theme: str, place: Workplace, *, language: str = "en", like: Path | None = None
) -> NewCampaign:
    """Make the folder of a new month with one starter article for each mailing; it reads without a fault.

    Audience, language, archive, mailing names and send rules come from the campaign `like`, where there is one.
    Raises Refused when month or theme cannot be used or the folder is there already.
    """
    theme = " ".join(theme.split())
    if not theme:
        raise Refused('The theme is empty. Say what the month is about, in quotes: "Better sleep".')
    mailing = {"name": "a", "subject": "a", "items": [{"article": "a"}]}
    try:
        parse(definition.CampaignEntry, Tree("", {"month": month, "theme": theme, "mailings": [mailing]}))
    except FileFaults as error:
        raise Refused(" ".join(f"{f.field}: {f.problem} {f.remedy}" for f in error.faults)) from None
    campaigns = workspace / "campaigns"
    folder = campaigns / f"{month}-{make_name(theme) or 'theme'}"
    if os.path.lexists(folder):
        raise Refused(f"{campaigns.name}/{folder.name} is there already. Choose another theme, or work on that one.")
    notes: list[str] = []
    entry, raw = _read_like(like, notes) if like else (None, {})
    mailings = [(m.name, _rule_of(m)) for m in entry.mailings] if entry else [("opening", None)]
    starters = [STARTER, *(f"{name}.md" for name, _ in mailings[1:])]
    audience = {
        key: [t for t in value if t in place.topics] if key == "topics" else value
        for key, value in dict(raw.get("audience") or {}).items()
    }
    texts = {
        folder / "campaign.yaml": _campaign_text(
            month,
            theme,
            entry.language if entry else language,
            audience,
            mailings,
            in_archive=entry.archive if entry else True,
        )
    }
    texts |= {folder / starter: _starter_text(at) for at, starter in enumerate(starters)}
    _check_readable(folder, texts, place)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise Refused(f"{folder} cannot be made ({error.strerror}). Nothing was changed.") from None
    try:
        _write_all(texts)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return NewCampaign(folder, like if entry else None, tuple(notes))


def make_slug(text: str) -> str:
    """A text as a name for files and ids: small letters, digits and dashes; empty when nothing of it can stay."""
    plain = re.sub(r"['’]", "", fold(text))
    return re.sub(r"[^a-z0-9]+", "-", plain)[:56].strip("-")


def make_name(text: str) -> str:
    """A text as a name for a file or folder: a slug, or where nothing could stay, the letters of its own script."""
    return make_slug(text) or re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", fold(text)))[:40].strip("-")


# --- people -----------------------------------------------------------------------------------------------------

_TITLES = re.compile(r"^(?:(?:dr|prof|professor|doctor|mr|mrs|ms|mx|miss|sir|dame|rev)\b\.?\s*)+")


def _bare_name(name: str) -> str:
    return _TITLES.sub("", fold(name)).strip() or fold(name)


def _author_id(author: ImportedAuthor | None, known: Mapping[str, str]) -> tuple[str | None, bool]:
    if author is None:
        return None, False
    if author.name in known:
        return author.name, False
    for key, name in known.items():
        if _bare_name(name) == _bare_name(author.name):
            return key, False
    slug = make_slug(_bare_name(author.name)) or "author"
    free = (candidate for n in range(1, 10_000) if (candidate := slug if n == 1 else f"{slug}-{n}") not in known)
    return next(free), True


def _with_author(text: str | None, author_id: str, author: ImportedAuthor) -> str:
    entry = [f"{author_id}:", f"  name: {_scalar(author.name)}"]
    if author.role:
        entry.append(f"  role: {_scalar(author.role)}")
    if author.credentials:
        entry += ["  credentials:", *(f"    - {_scalar(credential)}" for credential in author.credentials)]
    before = "# The people who sign or review articles.\n" if text is None else re.sub(r"(?m)^\{\s*\}\s*$", "", text)
    end = "\r\n" if "\r\n" in before else "\n"
    return f"{before.rstrip()}{end}{end}" * bool(before.strip()) + end.join(entry) + end


# --- texts ------------------------------------------------------------------------------------------------------


def _scalar(text: str) -> str:
    """A text as YAML on one line: bare where it reads back the same, else in double quotes."""
    try:
        bare = read_yaml(f"x: {text}\n", "").value
    except FileFaults:
        bare = None
    return text if bare == {"x": text} and not text.startswith(("[", "{", "|", ">")) else _quoted(text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _article_text(article: ImportedArticle, author_id: str | None) -> str:
    head = ["---", f"title: {_scalar(article.title)}"]
    if author_id:
        head.append(f"author: {author_id}")
    if article.references:
        head += ["references:", *(f"  - {_quoted(reference)}" for reference in article.references)]
    return "\n".join([*head, "---", "", article.body.strip("\n"), ""])


def _with_item(text: str, name: str, folder: Path, article: str, mailing: str | None) -> tuple[str, str, Path | None]:
    """campaign.yaml with the article added, the name of its mailing, and the untouched starter that it replaces."""
    try:
        tree = read_yaml(text, f"{name}/campaign.yaml")
        entry = parse(definition.CampaignEntry, tree)
    except FileFaults as error:
        raise DefinitionFaults(error.faults) from None
    names = [m.name for m in entry.mailings]
    if mailing is not None and mailing not in names:
        raise NotFound(f"{name} has no mailing `{mailing}`. Its mailings: {', '.join(names)}.")
    listed = next(
        (
            m.name
            for m in entry.mailings
            for i in m.items
            if isinstance(i, definition.ArticleEntry) and i.article == article
        ),
        None,
    )
    if listed:
        return text, listed, None
    at = names.index(mailing) if mailing else 0
    lines = text.splitlines(keepends=True)
    items = entry.mailings[at].items
    for i, item in enumerate(items):
        if isinstance(item, definition.ArticleEntry) and _is_untouched_starter(folder / item.article):
            number = tree.line_of(("mailings", at, "items", i, "article")) - 1
            changed = re.sub(rf"(article:\s*){re.escape(item.article)}(?=\s*$)", rf"\g<1>{article}", lines[number])
            if changed != lines[number]:
                lines[number] = changed
                return "".join(lines), names[at], folder / item.article
    added = _insert_item(lines, tree, at, len(items), article)
    return added if added is not None else _append_with_ruamel(text, at, article), names[at], None


def _is_untouched_starter(path: Path) -> bool:
    return path.is_file() and path.read_text("utf-8", errors="replace") in {_starter_text(0), _starter_text(1)}


def _insert_item(lines: list[str], tree: Tree, at: int, count: int, article: str) -> str | None:
    """The text with a line after the mailing's last item; None where the list is not written with dashes."""
    start = tree.line_of(("mailings", at, "items", count - 1)) - 1
    dash = re.match(r"(\s*)-\s", lines[start])
    if not dash:
        return None
    depth = len(dash[1])
    end = start + 1
    for number in range(start + 1, len(lines)):
        line = lines[number]
        if line.strip() and len(line) - len(line.lstrip()) <= depth:
            break
        if line.strip():
            end = number + 1
    spaced = count > 1 and not lines[start - 1].strip()
    newline = "\r\n" if lines[0].endswith("\r\n") else "\n"
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += newline
    lines.insert(end, f"{newline * spaced}{dash[1]}- article: {article}{newline}")
    return "".join(lines)


def _append_with_ruamel(text: str, at: int, article: str) -> str:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1_000_000
    indented = bool(re.search(r"(?m)^mailings:\s*(?:#.*)?\n(?:\s*#.*\n|\s*\n)*\s+-", text))
    yaml.indent(mapping=2, sequence=4 if indented else 2, offset=2 if indented else 0)
    document = yaml.load(text)
    document["mailings"][at]["items"].append({"article": article})
    output = StringIO()
    yaml.dump(document, output)
    return output.getvalue()


# --- a new month ------------------------------------------------------------------------------------------------


def _read_like(like: Path, notes: list[str]) -> tuple[definition.CampaignEntry | None, Mapping[str, Any]]:
    name = f"{like.parent.name}/{like.name}/campaign.yaml"
    try:
        tree = read_yaml(read_text(like / "campaign.yaml", name), name)
        return parse(definition.CampaignEntry, tree), tree.value
    except FileFaults:
        notes.append(
            f"{name} has faults, so nothing was taken over from it. See them with: newsletter check {like.name}"
        )
        return None, {}


def _rule_of(mailing: definition.MailingEntry) -> str | None:
    # A date of last month means nothing in this one; a rule does.
    return mailing.send_at.text if mailing.send_at and mailing.send_at.day is None else None


def _campaign_text(
    month: str,
    theme: str,
    language: str,
    audience: Mapping[str, Any],
    mailings: Sequence[tuple[str, str | None]],
    *,
    in_archive: bool,
) -> str:
    lines = [
        "# One month on one theme. This file says what goes out, when, and to whom.",
        f"# To see what is still to do: newsletter check {month}",
        "",
        f"month: {month}",
        f"theme: {_scalar(theme)}",
        f"language: {_scalar(language)}",
        "",
        "# Readers who chose at least one of these topics (see subscribers/topics.yaml). Without it, everybody.",
    ]
    rules = {key: value for key, value in audience.items() if value}
    lines.append("audience:" if rules else "# audience: {topics: [a-topic]}")
    for key, value in rules.items():
        lines.append(f"  {key}: [{', '.join(map(_scalar, value))}]" if isinstance(value, list) else f"  {key}: {value}")
    if not in_archive:
        lines += ["", "# Only those who get these mailings can read them.", "archive: false"]
    lines += ["", "mailings:"]
    for at, (name, rule) in enumerate(mailings):
        lines += [
            f"  - name: {name}",
            "    # A rule or a date such as 2026-11-03 09:00, in clinic time. Without it, the rule of newsletter.toml.",
            f"    send_at: {rule}" if rule else "    # send_at: first tuesday 09:00",
            "    # Phones show about 50 characters of a subject.",
            f"    subject: {PLACEHOLDER} with the subject",
            "    # Inboxes show this line after the subject. It should add something new.",
            "    # preheader: What readers will learn",
            "    # Articles, videos and podcasts, in order. A text from elsewhere: newsletter import-article FILE",
            "    items:",
            f"      - article: {STARTER if at == 0 else f'{name}.md'}",
            "",
        ]
    return "\n".join(lines[:-1]) + "\n"


def _starter_text(at: int) -> str:
    title = "First article" if at == 0 else "Another article"
    return (
        f"---\ntitle: {title}\n"
        "# Who signs it, by the id in authors.yaml, and the works cited, one entry each:\n"
        "# author: ines-varga\n# references:\n"
        '#   - "Author, A. B. (2024). Title of the work. Journal, 1(2), 3–4. https://doi.org/10…"\n'
        "---\n\n"
        f"{PLACEHOLDER} with the article. Write plain paragraphs with an empty line between them.\n\n"
        "## A heading begins with two number signs\n\n"
        "- A list has a dash before each line.\n"
        "- Words between two stars are **bold**, and [words can be a link](https://www.example.org/).\n"
    )


# --- writing ----------------------------------------------------------------------------------------------------


class _Texts:
    """The files as they were when the work began, to see whether somebody else changed them meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        campaign = _read_exactly(folder / "campaign.yaml")
        if campaign is None:
            raise NotFound(f"There is no campaign at {folder} (no campaign.yaml). `newsletter new` begins one.")
        self.campaign = campaign
        self.authors = _read_exactly(folder.parent / "authors.yaml")

    def check_unchanged(self) -> None:
        now = _Texts(self.folder)
        if (now.campaign, now.authors) != (self.campaign, self.authors):
            raise Refused("Somebody changed campaign.yaml or authors.yaml just now. Nothing was written; try again.")


def _read_exactly(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8") if path.exists() else None
    except UnicodeDecodeError:
        raise Refused(f"{path.name} is not written in UTF-8. Save it again with the encoding UTF-8.") from None


def _check_readable(folder: Path, texts: Mapping[Path, str], place: Workplace) -> None:
    """Read the campaign with the new texts in a copy beside the real one; raises DefinitionFaults."""
    campaigns = folder.parent
    with tempfile.TemporaryDirectory() as copy:
        there = Path(copy) / campaigns.name
        try:
            _copy_campaign(folder, there)
            for path, text in texts.items():
                (there / path.relative_to(campaigns)).write_bytes(text.encode())
        except (OSError, shutil.Error) as error:
            raise Refused(f"{campaigns} cannot be read whole ({error}). Nothing was changed.") from None
        read_campaign(
            there / folder.name, time_zone=place.time_zone, sending_rule=place.sending_rule, topics=place.topics
        )


def _copy_campaign(folder: Path, there: Path) -> None:
    """The campaign, and what lies beside the campaigns: authors.yaml and its pictures."""
    (there / folder.name).mkdir(parents=True)
    if folder.exists():
        shutil.copytree(folder, there / folder.name, dirs_exist_ok=True)
    for beside in folder.parent.iterdir() if folder.parent.exists() else ():
        if beside.is_file():
            shutil.copy(beside, there)
        elif not (beside / "campaign.yaml").exists() and beside != folder:
            shutil.copytree(beside, there / beside.name)


def _write_all(texts: Mapping[Path, str]) -> None:
    """Replace every file by an atomic rename; when one of them fails, the others become what they were."""
    prepared: list[tuple[Path, Path, bytes | None]] = []
    done: list[tuple[Path, bytes | None]] = []
    try:
        for path, text in texts.items():
            before = path.read_bytes() if path.exists() else None
            new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
            prepared.append((path, new, before))
            _write_through(new, text.encode())
            if before is not None:
                shutil.copymode(path, new)
        for path, new, before in prepared:
            done.append((path, before))
            new.replace(path)
    except OSError as error:
        for path, before in done:
            if before is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(before)
        raise Refused(f"{error.filename} cannot be written ({error.strerror}). Nothing was changed.") from None
    finally:
        for _, new, _ in prepared:
            new.unlink(missing_ok=True)


def _write_through(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
