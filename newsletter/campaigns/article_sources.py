"""Reads the files that articles arrive in (plain text, Markdown, Word) into blocks, and says what it had to leave out.

Nothing is trusted: a Word file is measured before it is unpacked, and no file it points to is ever opened.
"""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import PurePath
from typing import Any, Literal

import docx
from docx.oxml.ns import qn
from docx.oxml.parser import parse_xml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from newsletter.addresses import find_emails
from newsletter.campaigns.article_blocks import ROW, Block, Run, plain_block, tidy_runs
from newsletter.errors import ImportRefused
from newsletter.staff_files import FileFaults, split_front_matter

FILE_LIMIT = 25_000_000
UNPACKED_LIMIT = 150_000_000
PART_LIMIT = 20_000_000
"""Bytes of one XML part of a Word file; a thesis has a fifth of it."""

TEXT_LIMIT = 200_000
"""Characters an article may have; a long one has fifty thousand."""


@dataclass(frozen=True)
class Source:
    """What a file holds, block by block; `notes` say what was guessed or left out, `front` is its front matter."""

    kind: Literal["text", "markdown", "word"]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()
    front: Mapping[str, Any] = field(default_factory=dict)


def read_source(content: bytes, file_name: str) -> Source:
    """The blocks of a text, Markdown or Word file, told apart by what is in it; raises ImportRefused."""
    name = PurePath(file_name).name
    if len(content) > FILE_LIMIT:
        raise ImportRefused(f"{name} is larger than 25 MB. Take the pictures out of it, and import the text alone.")
    ending = PurePath(name).suffix.lower()
    if ending in _TABLES:
        raise ImportRefused(f"{name} is a table, and an article is a .txt, .md or .docx file. {_READERS}")
    if content[:4] == b"PK\x03\x04":
        source = _read_word(content, name)
        _refuse_ending(ending, name)
        _refuse_readers([block.text for block in source.blocks], name)
    else:
        _refuse_others(content, name)
        _refuse_ending(ending, name)
        text, notes = _decode(content, name)
        _refuse_readers(text.splitlines(), name)
        markdown = ending in _MARKDOWN
        source = _read_markdown(text, name) if markdown else Source("text", tuple(_text_blocks(text)))
        source = replace(source, notes=(*notes, *source.notes))
    if sum(len(block.text) for block in source.blocks) > TEXT_LIMIT:
        raise ImportRefused(f"{name} is as long as a book. Is it the right file? Cut it into articles.")
    if not any(re.search(r"\w", block.text) for block in source.blocks):
        raise ImportRefused(f"{name} holds no text. Is it the right file?")
    return source


_MARKDOWN = (".md", ".markdown", ".mdown")
_ENDINGS = (".txt", *_MARKDOWN, ".docx")
_TABLES = (".csv", ".tsv", ".xlsx", ".xlsm", ".xls", ".ods")
_READERS = "Readers come in with: newsletter subscribers import FILE"


def _refuse_ending(ending: str, name: str) -> None:
    if ending not in _ENDINGS:
        what = f"ends in {ending}" if ending else "has no ending"
        raise ImportRefused(f"{name} {what}, and an article is a .txt, .md or .docx file. Save it as one of these.")


def _refuse_readers(lines: Sequence[str], name: str) -> None:
    written = [line for line in lines if line.strip()]
    with_address = sum(1 for line in written if find_emails(line))
    if with_address > 1 and with_address * 2 > len(written):
        raise ImportRefused(
            f"{name} looks like a list of people: most of its lines hold an e-mail address, and an article goes to "
            f"every reader. {_READERS}"
        )


_OTHERS = (
    (b"%PDF", "a PDF. Open the original in Word and save it as .docx, or copy its text into a .txt file."),
    (b"\xd0\xcf\x11\xe0", "an old Word file (.doc) or one with a password. Save it as .docx, without a password."),
    (b"{\\rtf", "an RTF file. Open it in a word processor and save it as .docx."),
    (b"\x89PNG", "a picture. Import the text itself."),
    (b"\xff\xd8\xff", "a picture. Import the text itself."),
    (b"GIF8", "a picture. Import the text itself."),
)


def _refuse_others(content: bytes, name: str) -> None:
    for magic, what in _OTHERS:
        if content.startswith(magic):
            raise ImportRefused(f"{name} is {what}")
    if re.match(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html)", content[:200], re.IGNORECASE):
        raise ImportRefused(f"{name} is a web page. Copy its text into a .txt file, or save it as .docx.")
    if PurePath(name).suffix.lower() == ".docx":
        raise ImportRefused(f"{name} is not a Word file, or it is damaged. Open it in Word and save it again as .docx.")


# --- plain text -------------------------------------------------------------------------------------------------


def _decode(content: bytes, name: str) -> tuple[str, list[str]]:
    """The text of bytes whose encoding nobody said: UTF-8, UTF-16, else Windows-1252, with a note when guessed."""
    notes: list[str] = []
    encoding = "utf-8-sig"
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif content[1::2].count(0) > len(content) * 0.3 or content[::2].count(0) > len(content) * 0.3:
        encoding = "utf-16-le" if content[1::2].count(0) > content[::2].count(0) else "utf-16-be"
        notes.append("The file does not say its encoding; it was read as UTF-16. Look for wrong letters.")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        if encoding.startswith("utf-16"):
            raise ImportRefused(f"{name} is damaged (broken UTF-16). Save it again with the encoding UTF-8.") from None
        text = content.decode("cp1252", errors="replace")
        notes.append(
            "The file is not written in UTF-8; it was read as Windows-1252. Look at accents and quotation marks."
        )
    controls = len(re.findall(r"[\x00-\x08\x0e-\x1f]", text))
    if controls > 3 and controls > len(text) / 50:
        raise ImportRefused(f"{name} is no text. Give a .txt, .md or .docx file.")
    if "\ufffd" in text:
        notes.append("Some letters could not be read; they are shown as \ufffd. Correct them in the article.")
    return _clean(text), notes


def _clean(text: str) -> str:
    """The text in composed form, with one kind of line end and space, and no character that is only in the way."""
    text = unicodedata.normalize("NFC", re.sub("[\ud800-\udfff]", "\ufffd", text))
    text = re.sub("\r\n?|[\x85\u2028\u2029\x0b\x0c]", "\n", text)
    # Zero-width spaces and soft hyphens hide in pasted text; the rest YAML refuses.
    text = re.sub("[\u200b\u2060\ufeff\xad]|[\ufdd0-\ufdef\ufffe\uffff]", "", text)
    text = re.sub("[\x00-\x08\x0e-\x1f\x7f-\x9f]", " ", text)
    return re.sub("[\xa0\u2000-\u200a\u202f\u205f\u3000]", " ", text)


_BULLET = re.compile(r"(?P<bullet>[•●▪■◦‣⁃·○□➢✓*+–—-])\s+(?=\S)|(?P<sub>o)\t\s*(?=\S)|(?P<number>\d{1,3}[.)])\s+(?=\S)")
_DECORATION = re.compile(r"\s*([-=_*~#.•–—])(?:\s*\1){2,}\s*")


def _text_blocks(text: str) -> Iterator[Block]:
    lines = text.split("\n")
    width = _wrap_width(lines)
    chunk: list[str] = []
    for line in [*lines, ""]:
        if line.strip() and not _DECORATION.fullmatch(line):
            chunk.append(line)
        elif chunk:
            yield from _chunk_blocks(chunk, width)
            chunk = []


def _wrap_width(lines: Sequence[str]) -> int:
    """The width at which an editor or mail program broke the lines, 0 when every line is a paragraph."""
    lengths = [len(line.rstrip()) for line in lines if line.strip()]
    for width in sorted({length for length in lengths if 45 <= length <= 130}, reverse=True):
        full = sum(1 for length in lengths if width * 0.8 <= length <= width)
        longer = sum(1 for length in lengths if length > width)
        # Some line must run on into the next for the width to mean anything: short lines of a list do not.
        if full >= 3 and longer * 5 <= len(lengths):
            run_on = any(
                width * 0.7 <= len(a.rstrip()) <= width and re.match(r"\s*[a-z(]", b) for a, b in pairwise(lines)
            )
            return width if run_on else 0
    return 0


def _chunk_blocks(lines: Sequence[str], width: int) -> Iterator[Block]:
    """The lines between two empty ones, cut into paragraphs and items where no program broke them."""
    indents = [len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip()) for line in lines]
    hanging = len(lines) > 1 and indents[0] == 0 and sum(1 for indent in indents if indent) * 2 >= len(lines)
    open_lines: list[str] = []
    indent = 0
    for i, line in enumerate(lines):
        words = line.strip()
        if open_lines and _goes_on(open_lines, lines[i - 1].rstrip(), words, indents[i] - indent, width, hanging):
            glue = "" if re.search(r"[^\W\d_]-$", open_lines[-1]) and words[0].islower() else " "
            open_lines[-1] += glue + words
            continue
        if open_lines:
            yield _line_block(open_lines[0], indent)
        open_lines, indent = [words], indents[i]
    yield _line_block(open_lines[0], indent)


def _goes_on(before: Sequence[str], last: str, words: str, deeper: int, width: int, hanging: bool) -> bool:
    bullet = _BULLET.match(words)
    if bullet and not (bullet["bullet"] in ("–", "—", "-") and last[-1:].islower() and words[1:].strip()[:1].islower()):
        return False
    if re.match(r"\[\d{1,3}\]\s", words):
        return False
    if deeper >= 2 and (hanging or _BULLET.match(before[0])):
        return True
    if words[0].islower() and "@" not in words.split()[0] and not re.search(r"[.!?:;]$", last) and len(last) >= 40:
        return True
    return len(last) <= width and len(last) + 1 + len(words.split()[0]) > width


def _line_block(words: str, indent: int) -> Block:
    # The tab stays for the present: Word's second bullet is an "o" before one.
    return replace(plain_block(re.sub(r"[^\S\t]+", " ", words)), level=indent)


def find_typed_items(blocks: Sequence[Block]) -> list[Block]:
    """Bullets and numbers that somebody typed, made into items: only where two or more follow each other.

    A single dash is a dash, and a single `1.` a number; a `•` never is anything but a bullet.
    """
    typed = [_BULLET.match(block.text) if block.kind == "paragraph" else None for block in blocks]
    found: list[Block] = []
    indents: list[int] = []
    for i, (block, bullet) in enumerate(zip(blocks, typed, strict=True)):
        alone = bullet and not _has_sibling(blocks, typed, i)
        if not bullet or (alone and (bullet["bullet"] or "-") in "–—-*+"):
            indents = [] if not block.inner else indents
            found.append(replace(block, level=0) if block.kind == "paragraph" and not block.inner else block)
            continue
        while indents and indents[-1] > block.level:
            indents.pop()
        if not indents or block.level > indents[-1] + 1:
            indents.append(block.level)
        depth = len(indents) - 1 + (1 if bullet["sub"] and len(indents) == 1 and found[-1].kind == "item" else 0)
        marker = f"{bullet['number'][:-1]}." if bullet["number"] else "-"
        found.append(replace(block.without(bullet.end()), kind="item", level=depth, marker=marker))
    return found


def _has_sibling(blocks: Sequence[Block], typed: Sequence[re.Match[str] | None], at: int) -> bool:
    here = typed[at]
    if here is None:
        return False
    for step in (-1, 1):
        for i in range(at + step, at + 40 * step, step):
            if not 0 <= i < len(blocks) or (there := typed[i]) is None:
                break
            if here["number"] and there["number"] and int(there["number"][:-1]) - int(here["number"][:-1]) == step:
                return True
            if not here["number"] and not there["number"]:
                return True
    return False


# --- Markdown ---------------------------------------------------------------------------------------------------


def _read_markdown(text: str, name: str) -> Source:
    notes: list[str] = []
    front: Mapping[str, Any] = {}
    if text.startswith("---\n"):
        try:
            tree, body, _ = split_front_matter(text, name)
            front, text = (tree.value, body) if isinstance(tree.value, dict) else ({}, text)
        except FileFaults:
            notes.append("The lines between `---` at its head could not be read; they stand in the text.")
    reading = _Markdown()
    blocks = reading.blocks(MarkdownIt("commonmark", {"html": False}).parse(text))
    if re.search(r"</?[a-zA-Z][^>]{0,200}>", re.sub(r"<(?:https?|mailto):[^>]*>", "", text)):
        notes.append("There are HTML tags in the text; readers would see them as they stand. Take them out.")
    if re.search(r"^\|?[ :|-]*-{3,}[ :|-]*\|[ :|-]*$", text, re.MULTILINE):
        notes.append("There seems to be a table; a mail shows it as a line of text. Write it as a list.")
    return Source("markdown", tuple(blocks), (*notes, *reading.notes()), front)


class _Markdown:
    """Blocks from markdown-it's tokens, counting what no mail can carry."""

    def __init__(self) -> None:
        self.pictures: list[str] = []
        self.links: list[str] = []

    def notes(self) -> Iterator[str]:
        yield from _picture_note(len(self.pictures), [alt for alt in self.pictures if alt])
        if self.links:
            yield f"Links that work in no mail were taken off, their words kept: {', '.join(self.links)}."

    def blocks(self, tokens: Sequence[Token]) -> Iterator[Block]:
        numbers: list[int | None] = []
        marker = ""
        quote = 0
        for token in tokens:
            match token.type:
                case "bullet_list_open":
                    numbers.append(None)
                case "ordered_list_open":
                    numbers.append(int(token.attrGet("start") or 1))
                case "bullet_list_close" | "ordered_list_close":
                    numbers.pop()
                case "list_item_open":
                    number = numbers[-1]
                    marker = "-" if number is None else f"{number}."
                    numbers[-1] = None if number is None else number + 1
                case "blockquote_open":
                    quote += 1
                case "blockquote_close":
                    quote -= 1
                case "heading_open":
                    level = int(token.tag[1])
                case "inline":
                    runs = tidy_runs(self._runs(token.children or ()))
                    depth = max(len(numbers) - 1, 0)
                    if not runs:
                        continue
                    if token.level and marker:
                        yield Block("item", runs, depth, marker, quote)
                    elif numbers:
                        yield Block("paragraph", runs, depth, "", quote, inner=True)
                    elif _opens_heading(tokens, token):
                        yield Block("heading", runs, level, "", quote)
                    else:
                        yield Block("paragraph", runs, 0, "", quote)
                    marker = ""
                case "fence" | "code_block":
                    yield Block("code", (Run(token.content.rstrip("\n"), code=True),), 0, "", quote, bool(numbers))
                case "hr":
                    yield Block("rule", (), 0, "", quote)

    def _runs(self, children: Sequence[Token]) -> Iterator[Run]:
        bold = italic = 0
        link = ""
        for child in children:
            match child.type:
                case "text":
                    yield Run(child.content, bold > 0, italic > 0, link=link)
                case "code_inline":
                    yield Run(child.content, code=True, link=link)
                case "softbreak":
                    yield Run(" ", bold > 0, italic > 0, link=link)
                case "hardbreak":
                    yield Run("\n")
                case "strong_open" | "strong_close":
                    bold += child.nesting
                case "em_open" | "em_close":
                    italic += child.nesting
                case "link_open":
                    link = self._address(str(child.attrGet("href") or ""))
                case "link_close":
                    link = ""
                case "image":
                    self.pictures.append(child.content)

    def _address(self, href: str) -> str:
        usable = bool(re.match(r"(?:https?://|mailto:)\S", href))
        if not usable:
            self.links.append(href or "(empty)")
        return href if usable else ""


def _opens_heading(tokens: Sequence[Token], inline: Token) -> bool:
    return any(t.type == "heading_open" and t.map == inline.map and t.level == inline.level - 1 for t in tokens)


def _picture_note(count: int, alts: Sequence[str] = ()) -> Iterator[str]:
    if count:
        what = "1 picture was" if count == 1 else f"{count} pictures were"
        named = f" ({'; '.join(alts)})" if alts else ""
        yield f"{what} left out{named}: put the file into the folder and add it as `picture:` in campaign.yaml."


# --- Word -------------------------------------------------------------------------------------------------------


def _read_word(content: bytes, name: str) -> Source:
    broken = f"{name} is damaged. Open it in Word and save it again as .docx."
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _measure(archive, name)
        document = docx.Document(io.BytesIO(content))
        reading = _Word(document)
        blocks = tuple(reading.blocks())
    except ImportRefused:
        raise
    except Exception as error:  # python-docx lets through what zip, XML and itself raise: the file is at fault
        raise ImportRefused(broken) from error
    return Source("word", blocks, tuple(reading.notes()))


def _measure(archive: zipfile.ZipFile, name: str) -> None:
    parts = archive.infolist()
    names = {part.filename for part in parts}
    if "mimetype" in names and "content.xml" in names:
        raise ImportRefused(f"{name} is an OpenDocument file (.odt). Save it as Word (.docx), and import that.")
    if not any(n.startswith("word/") and n.endswith(".xml") for n in names):
        raise ImportRefused(f"{name} is not a Word file. Give a .txt, .md or .docx file.")
    # What is unpacked can never be more than these sizes say: the reading stops there.
    too_large = any(part.file_size > PART_LIMIT for part in parts if part.filename.endswith((".xml", ".rels")))
    if too_large or len(parts) > 5000 or sum(part.file_size for part in parts) > UNPACKED_LIMIT:
        raise ImportRefused(f"{name} is far too large once unpacked. Copy its text into a new document, and save that.")


_LEFT_OUT = {
    "table": ("table was", "tables were", "{} turned into a list, since mails have none: look whether it reads well."),
    "comment": ("comment was", "comments were", "{} left out."),
    "change": ("tracked deletion was", "tracked deletions were", "{} left out; insertions were taken as accepted."),
    "hidden": ("place of hidden text was", "places of hidden text were", "{} left out."),
    "box": ("text box was", "text boxes were", "{} put below the paragraph it hangs on: look where it belongs."),
    "formula": ("formula was", "formulas were", "{} taken over as plain letters."),
    "contents": ("table of contents was", "tables of contents were", "{} left out."),
    "part": ("document inside the document was", "documents inside the document were", "{} left out."),
    "raised": ("raised number was", "raised numbers were", "{} written as [1], off the word before it."),
    "link": ("link was", "links were", "{} taken off that would work in no mail; the words were kept."),
}


@dataclass(frozen=True)
class _Style:
    name: str
    based_on: str
    numbering: tuple[str, int] | None
    outline: int | None
    bold: bool


_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_SKIPPED = {_W + tag for tag in ("del", "moveFrom")}
_TRANSPARENT = {_W + tag for tag in ("ins", "moveTo", "smartTag", "customXml", "sdtContent", "fldSimple", "bdo", "dir")}


class _Word:
    """One reading of a Word document: walks its XML, since much that people write is in no paragraph's runs."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self.left_out: Counter[str] = Counter()
        self.numbers: Counter[tuple[str, int]] = Counter()
        self.boxes: list[Block] = []
        self.fields: list[list[str]] = []
        self.styles = {
            style.get(qn("w:styleId")): _read_style(style) for style in document.styles.element.iter(_W + "style")
        }
        self.formats = dict(self._number_formats())
        self.note_texts = list(self._note_texts())

    def blocks(self) -> Iterator[Block]:
        yield from self._blocks(self.document.element.body)

    def notes(self) -> Iterator[str]:
        """What was left out or changed, in words for staff."""
        yield from _picture_note(self.left_out["picture"])
        if self.note_texts:
            texts = " ".join(f"[{i}] “{text}”" for i, text in enumerate(self.note_texts, start=1))
            what = _count(len(self.note_texts), "footnote was", "footnotes were")
            yield f"{what} left out; put what is needed into the text or the references: {texts}"
        for kind, (one, many, sentence) in _LEFT_OUT.items():
            if count := self.left_out[kind]:
                yield sentence.format(_count(count, one, many))

    # blocks

    def _blocks(self, parent: Any) -> Iterator[Block]:
        for child in parent:
            tag = child.tag
            if tag == _W + "p":
                yield from self._paragraph(child)
            elif tag == _W + "tbl":
                yield from self._table(child)
            elif tag in _SKIPPED:
                self.left_out["change"] += 1
            elif tag == _W + "sdt":
                gallery = child.find(f"{_W}sdtPr/{_W}docPartObj/{_W}docPartGallery")
                if gallery is not None and gallery.get(qn("w:val")) == "Table of Contents":
                    self.left_out["contents"] += 1
                elif (inner := child.find(_W + "sdtContent")) is not None:
                    yield from self._blocks(inner)
            elif tag in _TRANSPARENT:
                yield from self._blocks(child)
            elif tag == _W + "altChunk":
                self.left_out["part"] += 1

    def _table(self, table: Any) -> Iterator[Block]:
        rows = list(table.iter(_W + "tr"))
        cells = [[list(self._blocks(cell)) for cell in row.findall(_W + "tc")] for row in rows]
        if all(len(row) <= 1 for row in cells):
            for row in cells:
                for cell in row:
                    yield from cell
            return
        self.left_out["table"] += 1
        for row in cells:
            filled = [blocks for blocks in row if any(block.text.strip() for block in blocks)]
            runs: list[Run] = []
            for cell in filled:
                for block in cell:
                    runs += [Run("; "), *block.runs] if runs else block.runs
            if runs:
                yield Block("item", tidy_runs(replace(run, text=run.text.replace("\n", " ")) for run in runs), 0, ROW)

    def _paragraph(self, paragraph: Any) -> Iterator[Block]:
        style_id = paragraph.find(f"{_W}pPr/{_W}pStyle")
        chain = list(self._chain(style_id.get(qn("w:val")) if style_id is not None else None))
        bold = any(style.bold for style in chain)
        runs = tidy_runs(
            replace(run, text=_clean(run.text), bold=run.bold or bold) for run in self._runs(paragraph, Run(""))
        )
        boxes, self.boxes = self.boxes, []
        if runs:
            yield from self._styled(paragraph, chain, runs)
        yield from boxes

    def _styled(self, paragraph: Any, chain: Sequence[_Style], runs: tuple[Run, ...]) -> Iterator[Block]:
        name = chain[0].name if chain else ""
        names = [style.name for style in chain]
        outline = paragraph.find(f"{_W}pPr/{_W}outlineLvl")
        levels = (
            [int(outline.get(qn("w:val")))]
            if outline is not None
            else [s.outline for s in chain if s.outline is not None]
        )
        heading = next((int(found[1]) for n in names if (found := re.fullmatch(r"heading (\d)", n))), 0)
        if not heading and levels and levels[0] < 9:
            heading = levels[0] + 1
        if "title" in names:
            yield Block("title", runs)
        elif heading:
            yield Block("heading", tuple(replace(run, bold=False) for run in runs), min(heading, 6))
        elif "bibliography" in names or re.match(r"(?:bibliography|endnote bibliography)", name):
            yield Block("reference", runs)
        elif (listed := self._list_of(paragraph, chain)) is not None:
            yield self._item(*listed, runs)
        elif any(re.search(r"quot|block text", n) for n in names):
            yield Block("paragraph", runs, quote=1)
        else:
            # Two line breaks in a row are how many people end a paragraph.
            for part in _split_runs(runs, "\n\n"):
                yield Block("paragraph", part)

    def _item(self, number_id: str, level: int, runs: tuple[Run, ...]) -> Block:
        number_format, start = self.formats.get((number_id, level)) or self.formats.get((number_id, 0), ("bullet", 1))
        for deeper in [key for key in self.numbers if key[0] == number_id and key[1] > level]:
            del self.numbers[deeper]
        self.numbers[number_id, level] += 1
        numbered = number_format not in ("bullet", "none")
        return Block("item", runs, level, f"{start + self.numbers[number_id, level] - 1}." if numbered else "-")

    def _list_of(self, paragraph: Any, chain: Sequence[_Style]) -> tuple[str, int] | None:
        direct = _numbering(paragraph)
        listed = direct or next((style.numbering for style in chain if style.numbering), None)
        by_name = next((m for s in chain if (m := re.match(r"list (?:bullet|number)(?: (\d))?$", s.name))), None)
        depth = int(by_name[1]) - 1 if by_name and by_name[1] else 0
        if listed and listed[0] != "0":
            # Word's "List Bullet 2" is a list of its own, whose first level stands one deeper.
            return listed if direct else (listed[0], listed[1] + depth)
        if by_name and direct is None:
            key = by_name[0]
            self.formats.setdefault((key, depth), ("decimal" if "number" in key else "bullet", 1))
            return key, depth
        return None

    def _chain(self, style_id: str | None) -> Iterator[_Style]:
        seen: set[str] = set()
        while style_id and style_id in self.styles and style_id not in seen:
            seen.add(style_id)
            yield self.styles[style_id]
            style_id = self.styles[style_id].based_on

    # runs

    def _runs(self, parent: Any, look: Run) -> Iterator[Run]:
        for child in parent:
            tag = child.tag
            if tag == _W + "r":
                yield from self._run(child, look)
            elif tag == _W + "hyperlink":
                yield from self._runs(child, replace(look, link=self._target(child.get(qn("r:id")))))
            elif tag in _SKIPPED:
                self.left_out["change"] += 1
            elif tag == _W + "sdt":
                yield from (
                    self._runs(child.find(_W + "sdtContent"), look) if child.find(_W + "sdtContent") is not None else ()
                )
            elif tag in _TRANSPARENT:
                yield from self._runs(child, look)
            elif isinstance(tag, str) and tag.endswith(("}oMath", "}oMathPara")):
                self.left_out["formula"] += 1
                yield replace(
                    look, text="".join(part.text or "" for part in child.iter() if str(part.tag).endswith("}t"))
                )

    def _run(self, run: Any, look: Run) -> Iterator[Run]:
        properties = run.find(_W + "rPr")
        if properties is not None and _is_on(properties, "vanish"):
            self.left_out["hidden"] += 1
            return
        style_id = properties.find(_W + "rStyle") if properties is not None else None
        styled = self.styles.get(style_id.get(qn("w:val"))) if style_id is not None else None
        name = styled.name if styled else ""
        look = replace(
            look,
            bold=_is_on(properties, "b") or name in ("strong", "intense emphasis"),
            italic=_is_on(properties, "i") or name == "emphasis",
            link=look.link or self._field_link(),
        )
        raised = (
            properties is not None
            and (mark := properties.find(_W + "vertAlign")) is not None
            and mark.get(qn("w:val")) == "superscript"
        )
        for child in run:
            text = self._piece(child)
            if raised and re.fullmatch(r"\d{1,3}(?:[,–-]\d{1,3})*", text.strip()):
                self.left_out["raised"] += 1
                text = f" [{text.strip()}]"
            if text and not self._in_instruction():
                yield replace(look, text=text)

    def _piece(self, child: Any) -> str:
        match str(child.tag).rpartition("}")[2]:
            case "t":
                return (child.text or "").replace("\n", " ")
            case "tab" | "ptab":
                return "\t"
            case "br" | "cr":
                return "\n" if child.get(qn("w:type")) in (None, "textWrapping") else " "
            case "noBreakHyphen":
                return "‑"
            case "fldChar":
                self._field(child.get(qn("w:fldCharType")))
            case "instrText":
                if self.fields:
                    self.fields[-1][0] += child.text or ""
            case "commentReference":
                self.left_out["comment"] += 1
            case "footnoteReference" | "endnoteReference":
                pass
            case "drawing" | "pict" | "object" | "AlternateContent":
                self._drawing(child)
        return ""

    def _drawing(self, drawing: Any) -> None:
        # A drawing stands twice, in its new form and in its old one (Fallback); one is enough.
        old = {id(part) for fallback in drawing.iter("{*}Fallback") for part in fallback.iter()}
        boxes = [box for box in drawing.iter(_W + "txbxContent") if id(box) not in old]
        if boxes:
            self.left_out["box"] += len(boxes)
            kept, self.boxes = self.boxes, []
            found = [block for box in boxes for block in self._blocks(box)]
            self.boxes = [*kept, *found]
        elif any(str(part.tag).endswith(("}pic", "}imagedata", "}chart", "}relIds")) for part in drawing.iter()):
            self.left_out["picture"] += 1

    def _field(self, kind: str | None) -> None:
        # A field is: begin, its instruction, separate, what readers see, end; fields may stand inside fields.
        if kind == "begin":
            self.fields.append(["", ""])
        elif kind == "separate" and self.fields:
            self.fields[-1][1] = "shown"
        elif kind == "end" and self.fields:
            self.fields.pop()

    def _in_instruction(self) -> bool:
        return any(not shown for _, shown in self.fields)

    def _field_link(self) -> str:
        for instruction, _ in reversed(self.fields):
            if found := re.match(r'\s*HYPERLINK\s+"([^"]+)"', instruction):
                return self._usable(found[1])
        return ""

    def _target(self, relation: str | None) -> str:
        if relation is None:
            return ""
        known = self.document.part.rels.get(relation)
        return self._usable(str(known.target_ref)) if known is not None and known.is_external else ""

    def _usable(self, address: str) -> str:
        address = re.sub(r"\s", "%20", address.strip())
        if re.match(r"(?:https?://|mailto:)[^\x00-\x1f]+$", address, re.IGNORECASE):
            scheme, colon, rest = address.partition(":")
            return scheme.lower() + colon + rest
        self.left_out["link"] += 1
        return ""

    # parts beside the text

    def _part(self, ending: str) -> Any:
        for relation in self.document.part.rels.values():
            if relation.reltype.endswith(ending) and not relation.is_external:
                part = relation.target_part
                return part.element if hasattr(part, "element") else parse_xml(part.blob)
        return None

    def _number_formats(self) -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
        numbering = self._part("/numbering")
        if numbering is None:
            return
        abstract = {found.get(qn("w:abstractNumId")): found for found in numbering.iter(_W + "abstractNum")}
        for number in numbering.iter(_W + "num"):
            meant = number.find(_W + "abstractNumId")
            for level in abstract.get(meant.get(qn("w:val")), ()) if meant is not None else ():
                if level.tag == _W + "lvl":
                    number_format, start = level.find(_W + "numFmt"), level.find(_W + "start")
                    yield (
                        (number.get(qn("w:numId")), int(level.get(qn("w:ilvl")))),
                        (
                            number_format.get(qn("w:val")) if number_format is not None else "decimal",
                            int(start.get(qn("w:val"))) if start is not None else 1,
                        ),
                    )

    def _note_texts(self) -> Iterator[str]:
        for ending, tag in (("/footnotes", "footnote"), ("/endnotes", "endnote")):
            part = self._part(ending)
            for note in part.iter(_W + tag) if part is not None else ():
                if note.get(qn("w:type")) in (None, "normal"):
                    text = _clean(" ".join(t.text or "" for t in note.iter(_W + "t")))
                    if text.strip():
                        yield " ".join(text.split())


def _read_style(style: Any) -> _Style:
    name, based_on = style.find(_W + "name"), style.find(_W + "basedOn")
    outline = style.find(f"{_W}pPr/{_W}outlineLvl")
    return _Style(
        (name.get(qn("w:val")) or "").lower() if name is not None else "",
        based_on.get(qn("w:val")) if based_on is not None else "",
        _numbering(style),
        int(outline.get(qn("w:val"))) if outline is not None else None,
        _is_on(style.find(_W + "rPr"), "b"),
    )


def _numbering(holder: Any) -> tuple[str, int] | None:
    found = holder.find(f"{_W}pPr/{_W}numPr")
    if found is None or (number := found.find(_W + "numId")) is None:
        return None
    level = found.find(_W + "ilvl")
    return number.get(qn("w:val")), int(level.get(qn("w:val"))) if level is not None else 0


def _is_on(properties: Any, name: str) -> bool:
    mark = properties.find(_W + name) if properties is not None else None
    return mark is not None and mark.get(qn("w:val")) not in ("0", "false", "off", "none")


def _split_runs(runs: Sequence[Run], at: str) -> Iterator[tuple[Run, ...]]:
    parts: list[list[Run]] = [[]]
    for run in runs:
        first, *others = re.split(re.escape(at) + r"\n*", run.text)
        parts[-1].append(replace(run, text=first))
        parts += [[replace(run, text=other)] for other in others]
    yield from (tidy for part in parts if (tidy := tidy_runs(part)))


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
