"""Makes an article of a text that somebody wrote elsewhere: title, text, references and who signs it, told apart.

Nothing is corrected and no word is lost: what is not taken over is named, and so is every doubt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from newsletter.campaigns.article_blocks import Block, cut_lines, join_lines, tidy_runs, write_markdown
from newsletter.campaigns.article_sources import Source, find_typed_items, read_source
from newsletter.campaigns.citations import check_citations, read_reference, split_links
from newsletter.campaigns.markdown import to_words


@dataclass(frozen=True)
class ImportedAuthor:
    """Who signs the text, as far as the text says."""

    name: str
    role: str | None = None
    credentials: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportedArticle:
    """What was understood of a file; `unsure` says in plain words what a person should look at."""

    title: str
    body: str
    references: tuple[str, ...]
    author: ImportedAuthor | None
    unsure: tuple[str, ...]


def read_article_file(content: bytes, file_name: str) -> ImportedArticle:
    """The article in a text, Markdown or Word file; raises ImportRefused on what is none of these."""
    source = read_source(content, file_name)
    return _Import(source, file_name).article()


# --- what lines look like ---------------------------------------------------------------------------------------

LINE_LIMIT = 300
REFERENCE_LIMIT = 2000

_REFERENCES = re.compile(
    r"(?:\d+\.?\s+)?(?:(?:list of |selected |key )?references(?: cited| list)?|reference list|bibliography|works cited|"
    r"literature cited|literaturverzeichnis|bibliographie|références|referencias|bibliografía|bibliografia)\s*:?",
    re.IGNORECASE,
)
_MAYBE_REFERENCES = re.compile(
    r"(?:\d+\.?\s+)?(?:sources?|further reading|recommended reading|read more|citations|literature|literatur|"
    r"end ?notes|footnotes|notes|quellen|fuentes|sources and further reading|references and further reading)\s*:?",
    re.IGNORECASE,
)
_SIGNED = re.compile(
    r"(?P<mark>(?:(?:written|text|words|article|posted|contributed|prepared) by|by|from)\b\s*[:–—-]?|"
    r"(?:(?:about )?the )?authors?\s*[:–—-]|(?:about )(?:the )?authors?|about me)\s*(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_TITLES = r"(?:(?:Dr|Prof|Professor|Doctor|Mr|Mrs|Ms|Mx|Miss|Sir|Dame|Rev|Assoc|Associate|Assistant)\.?\s+)"
_DEGREE = re.compile(
    r"(?:Ph\.? ?D|D\.? ?Phil|Psy\.? ?D|Ed\.? ?D|D\.? ?Clin\.? ?Psy\w*|D\.? ?Psych?|D\.? ?Sc|M\.? ?Sc|B\.? ?Sc|M\.? ?A|"
    r"B\.? ?A|M\.? ?S|B\.? ?S|M\.? ?Phil|M\.? ?D|D\.? ?O|MB ?BS|MB ?BCh|MB ?ChB|MBChB|M\.? ?Res|M\.? ?Ed|B\.? ?Ed|MSW|"
    r"LCSW|LMFT|LPC|LMHC|RMN|RGN|RN|BN|MPH|MBA|MRCPsych|FRCPsych|FRCP|MRCP|MRCGP|FRCS|C\.? ?Psychol|[AF]{1,2}BPsS|"
    r"PG ?Dip|PG ?Cert|PGCE|Dip\b|Dipl|Diploma|Dr\. ?(?:med|phil|rer|psych)|M\.? ?Psych?|B\.? ?Psych?|MCSP|HCPC|BACP|"
    r"MBACP|UKCP|BABCP|BPS|ABPP|CCC-SLP|OTR|DPT|MPT|PT|OT|LLB|MMedSci|M\.? ?Couns|Master|Bachelor|Doctorate|"
    r"Doctor of|Doctor in)(?:\b|(?<=\.))(?!['’])"
)
_TITLED = re.compile(r"(?:Licen[cs]ed|Registered|Chartered|Accredited|Certified|Board[- ]certified|Fellow|Member)\b")
_ROLE = re.compile(
    r"\b(?:psycholog|(?:\w*)therapist|psychiatr|counsell?or|doctor\b|physician|nurse\b|professor|lecturer|research|"
    r"director|consultant|specialist|manager|coach|editor|writer|practitioner|social worker|dieti[ct]ian|nutritionist|"
    r"founder|lead\b|head of|fellow\b|student|assistant|scientist|surgeon|midwife|pharmacist|neurolog|trainer|"
    r"clinician|author\b|journalist|officer|coordinator|supervisor|chair\b|owner\b|partner\b|team\b|clinic\b|hospital\b|department\b|"
    r"university)",
    re.IGNORECASE,
)
_CONTACT = re.compile(r"\S+@\S+\.\w|https?://|www\.|\+?\d[\d ()/-]{7,}")
_NO_NAMES = {
    "the", "and", "of", "for", "kind", "regards", "best", "wishes", "warm", "warmly", "thank", "thanks", "you",
    "your", "how", "why", "what", "when", "where", "who", "pain", "is", "are", "was", "in", "on", "to", "with",
    "we", "our", "be", "can", "dear", "yours", "sincerely", "faithfully", "references", "this", "that", "it", "not",
    "read", "more", "contact", "summary", "conclusion", "introduction", "background", "discussion", "take", "care",
    "stay", "well", "health",
}  # fmt: skip
_SHORT_WORDS = {
    "van",
    "von",
    "der",
    "den",
    "de",
    "del",
    "della",
    "di",
    "da",
    "dos",
    "du",
    "la",
    "le",
    "ten",
    "bin",
    "al",
}
_STRICT = re.compile(
    r"(?=.{0,500}?\((?:(?:1[5-9]|20)\d\d[a-z]?|n\.\s?d\.|in press)(?:,[^()]{1,30})?\)\s*[.,:])[^\W\d_]", re.DOTALL
)
_META = re.compile(
    r"(?:(?:medically |clinically )?reviewed|last (?:updated|reviewed)|updated|published|date)\b", re.IGNORECASE
)
_LABEL = re.compile(
    r"(?:role|position|title|job title|profession|qualifications?|degrees?|credentials|contact)\s*:\s+", re.I
)
_HAS_SOURCE = re.compile(
    r"\b(?:1[89]|20)\d\d[a-z]?\b|https?://|www\.|\bdoi\b|\bISBN\b|\bn\.d\.|\bin press\b", re.IGNORECASE
)


def _is_name(text: str) -> bool:
    words = re.sub(rf"^{_TITLES}+", "", text.strip()).split()
    titled = len(words) < len(text.split())
    if not (1 if titled else 2) <= len(words) <= 6 or len(text) > 80 or re.search(r"[\d@:;!?/()]", text):
        return False
    if any(word.lower().strip(".,") in _NO_NAMES for word in words if word.lower() not in ("and", "&")):
        return False
    named = [word for word in words if word.lower() not in _SHORT_WORDS | {"and", "&"}]
    return bool(named) and all(word[0].isupper() or (not word[0].isascii() and word[0].isalpha()) for word in named)


def _is_byline(line: str) -> bool:
    """Whether a line says by itself who wrote the text: "By Ines Varga", "Dr Ines Varga", "Ines Varga, PhD"."""
    signed = _SIGNED.fullmatch(line)
    name, rest = _split_name(signed["rest"] if signed else line)
    if len(line) > 200 or not _is_name(name) or _ROLE.search(name):
        return False
    return bool(signed) or (_is_detail(rest) if rest else bool(re.match(_TITLES, line)))


def _split_name(line: str) -> tuple[str, str]:
    """A line such as "Ines Varga, PhD" as the name and what follows it."""
    found = re.match(r"(.+?)(?:\s*[,|;]\s+|\s+[–—-]\s+|\s+(?=\())(.+)", line, re.DOTALL)
    name, rest = (found[1], found[2]) if found else (line, "")
    if not rest and (degree := re.search(rf"\s(?={_DEGREE.pattern})", name)) and _is_name(name[: degree.start()]):
        name, rest = name[: degree.start()], name[degree.end() :]
    return name.strip(" ,.") if not re.search(r"\b(?:Jr|Sr)\.$", name.strip()) else name.strip(), rest.strip()


def _pieces(line: str) -> list[str]:
    """A line cut at commas and their like, but for those inside brackets."""
    return [piece for part in re.split(r"\s*[,;|•·](?![^()]*\))\s*", _unbracketed(line)) if (piece := part.strip())]


def _unbracketed(text: str) -> str:
    text = text.strip(" ,;")
    return text[1:-1] if re.fullmatch(r"\([^()]*\)", text) else text


def _is_detail(line: str) -> bool:
    """Whether a line says what somebody is: a role, degrees, or how to reach them."""
    if len(line) > 250 or line.rstrip().endswith((":", "?", "!")):
        return False
    if any(_DEGREE.match(piece) or _TITLED.match(piece) for piece in _pieces(line)):
        return not _is_prose(line)
    return bool(_CONTACT.search(line) and len(line.split()) <= 8) or (
        bool(_ROLE.search(line)) and len(line.split()) <= 14 and not _is_prose(line)
    )


def _is_prose(line: str) -> bool:
    return (len(line.split()) > 14 and bool(re.search(r"[.!?][\"”’)]?$", line))) or bool(
        re.search(r"\b(?:is|are|was|has|have|works|lives|holds|we|you|I)\b", line) and line.rstrip().endswith(".")
    )


def _is_reference(text: str) -> bool:
    """Whether a paragraph can be nothing but an entry of a reference list, even where no heading says so."""
    if len(text) > REFERENCE_LIMIT:
        return False
    bare = re.sub(r"^(?:\[\d{1,3}\]|\d{1,3}[.)])\s*", "", text)
    entry = read_reference(bare)
    if not entry.year:
        return False
    if entry.authors[0][1] and (_STRICT.match(bare) or re.search(r"\b\d+\s?(?:\(\d+\))?\s?[:,]\s?\d+", bare)):
        return True
    # A group or a title: "World Health Organization. (2020). Title."
    return bool(re.match(r"[^.()]{3,150}\.\s\((?:(?:1[5-9]|20)\d\d[a-z]?|n\.d\.)(?:,[^()]{1,30})?\)\.\s", bare))


class _Import:
    """One import: takes from `rest` what it recognises, and gathers what a person should be told."""

    def __init__(self, source: Source, file_name: str) -> None:
        self.source = source
        self.file_name = PurePath(file_name).name
        self.unsure: list[str] = list(source.notes)
        blocks = list(cut_lines(source.blocks))
        self.rest = blocks if source.kind == "markdown" else find_typed_items(blocks)
        self.author: ImportedAuthor | None = None
        self.bio: list[Block] = []
        self.references: list[Block] = []
        self.background: list[str] = []
        self.dates: list[Block] = []

    def article(self) -> ImportedArticle:
        front_references = self._take_front_matter()
        self._take_mail_headers()
        title = self._take_title()
        self._take_byline()
        self._set_aside_dates()
        self._take_references_below_heading()
        for _ in range(2):
            if not self.references:
                self._take_closing_references()
            if self.author is None:
                self._take_closing_author()
        body = self._body()
        words = to_words(body)
        references = (*front_references, *self._reference_texts(words))
        self._say_doubts(words, references)
        return ImportedArticle(title, body, references, self.author, tuple(dict.fromkeys(self.unsure)))

    # the head

    def _take_front_matter(self) -> tuple[str, ...]:
        front = dict(self.source.front)
        self.title = _one_line(front.pop("title", None) or "")
        name = _one_line(front.pop("author", None) or "")
        role = _one_line(front.pop("role", None) or "") or None
        credentials = front.pop("credentials", None) or ()
        credentials = _pieces(credentials) if isinstance(credentials, str) else map(_one_line, credentials)
        if name:
            parsed = self._read_author([name])
            self.author = replace(
                parsed, role=role or parsed.role, credentials=(*parsed.credentials, *(c for c in credentials if c))
            )
        references = front.pop("references", None) or ()
        if front:
            others = "; ".join(
                f"{key}: {_one_line(', '.join(value) if isinstance(value, list) else value or '')}"
                for key, value in front.items()
            )
            self.unsure.append(f"Left out of the front matter, since an article has no place for it: {others}.")
        if isinstance(references, str):
            return tuple(line for part in references.split("\n") if (line := _one_line(part)))
        return tuple(filter(None, map(_one_line, references)))

    def _take_mail_headers(self) -> None:
        headers = 0
        for block in self.rest[:12]:
            if not re.match(r"(?:From|To|Cc|Bcc|Date|Sent|Subject|Reply-To|Von|An|Betreff|Gesendet):\s", block.text):
                break
            headers += 1
        if headers < 2:
            return
        lines = [block.text for block in self.rest[:headers]]
        subject = next((line for line in lines if re.match(r"Subject|Betreff", line)), "")
        if not self.title and subject:
            self.title = re.sub(r"^(?:(?:Subject|Betreff|Fwd?|Re|AW|WG):\s*)+", "", subject)[:LINE_LIMIT]
            self.unsure.append("The title was taken from the subject of the mail.")
        self.unsure.append(f"The head of a mail was left out: {' | '.join(lines)}.")
        del self.rest[:headers]

    def _take_title(self) -> str:
        styled = [i for i, block in enumerate(self.rest[:6]) if block.kind == "title"]
        if styled:
            last = styled[0]
            while last + 1 < len(self.rest) and self.rest[last + 1].kind == "title":
                last += 1
            words = " ".join(block.text for block in self.rest[styled[0] : last + 1])
            del self.rest[styled[0] : last + 1]
            return self._title(words)
        if self.title:
            if self.rest and self.rest[0].kind == "heading" and self.rest[0].text.casefold() == self.title.casefold():
                del self.rest[0]
            return self._title(self.title)
        headings = [i for i, block in enumerate(self.rest) if block.kind == "heading"]
        if headings and headings[0] <= 2 and not any(len(block.text) > 200 for block in self.rest[: headings[0]]):
            first = self.rest[headings[0]]
            others = [self.rest[i].level for i in headings[1:]]
            if headings[0] == 0 or first.level < min(others, default=9):
                del self.rest[headings[0]]
                return self._title(first.text)
        at = 1 if len(self.rest) > 2 and _is_byline(self.rest[0].text) else 0
        if len(self.rest) > at + 1 and self._may_be_title(self.rest[at]):
            words = self.rest.pop(at).text
            return self._title(words)
        line = self.rest[at].text if len(self.rest) > at + 1 else ""
        if 0 < len(line.split()) <= 10 and line.endswith(".") and len(self.rest[at + 1].text) > 2 * len(line):
            self.unsure.append("The first line was taken as the title, though it ends like a sentence.")
            return self._title(self.rest.pop(at).text)
        stem = re.sub(r"[_\s-]+", " ", PurePath(self.file_name).stem).strip() or "Article"
        self.unsure.append(
            "The text does not begin with a title; the name of the file stands for it. Correct `title:`."
        )
        return self._title(stem[0].upper() + stem[1:])

    def _may_be_title(self, block: Block) -> bool:
        text = block.text
        if (
            block.kind not in ("paragraph", "title")
            or len(text) > 150
            or _is_reference(text)
            or not re.search(r"\w", text)
        ):
            return False
        return not re.search(r"[.;,:…]$", text) or (block.bold and not text.endswith((",", ":"))) or _labelled(text)

    def _title(self, words: str) -> str:
        title = _one_line(re.sub(r"^Title:\s*", "", words, flags=re.IGNORECASE)).strip("*_# ") or "Article"
        if len(title) > LINE_LIMIT:
            self.unsure.append(f"The title is too long and was cut. It was: “{title}”.")
            title = title[: LINE_LIMIT - 1] + "…"
        elif title.isupper() and len(title) > 12:
            self.unsure.append("The title is all in capitals; it is easier to read in small letters.")
        return title

    # who signs

    def _set_aside_dates(self) -> None:
        """Lines such as "Last updated" at the very end; they go back to the end of the text."""
        end = len(self.rest)
        while end > 1 and _META.match(self.rest[end - 1].text) and len(self.rest[end - 1].text) < 120:
            end -= 1
        self.dates = self.rest[end:]
        del self.rest[end:]

    def _byline_at(self, at: int) -> bool:
        text = self.rest[at].text
        if _is_byline(text):
            return True
        following = self.rest[at + 1].text if at + 1 < len(self.rest) else ""
        if (signed := _SIGNED.fullmatch(text)) and not signed["rest"]:
            return _is_name(_split_name(following)[0])
        return _is_name(text) and not _ROLE.search(text) and _is_detail(following)

    def _take_byline(self) -> None:
        if self.author is not None:
            return
        for at in range(min(2, len(self.rest) - 1)):
            if self.rest[at].kind in ("paragraph", "heading") and self._byline_at(at):
                end = at + 1
                signed = _SIGNED.fullmatch(self.rest[at].text)
                if signed and not signed["rest"]:
                    end += 1
                while end < len(self.rest) and self.rest[end].kind != "heading" and _is_detail(self.rest[end].text):
                    end += 1
                self._sign(at, end)
                return

    def _take_closing_author(self) -> None:
        low = max(len(self.rest) - 14, 0)
        for at in range(len(self.rest) - 1, low - 1, -1):
            block = self.rest[at]
            signed = _SIGNED.fullmatch(block.text) if block.kind in ("paragraph", "heading") else None
            if signed and len(block.text) <= 200 and self._signs(at, signed["rest"]):
                end = at + 1 + (not signed["rest"])
                while end < len(self.rest) and end - at < 10 and self._belongs_to_author(self.rest[end]):
                    end += 1
                self._sign(at, end)
                return
        self._take_unmarked_author()

    def _signs(self, at: int, rest: str) -> bool:
        about = re.match(r"(?:about )", self.rest[at].text, re.IGNORECASE)
        if rest:
            return _is_name(_split_name(rest)[0])
        following = self.rest[at + 1].text if at + 1 < len(self.rest) else ""
        return _is_name(_split_name(following)[0]) or bool(about and _described(following))

    def _belongs_to_author(self, block: Block) -> bool:
        short = len(block.text) <= 200 and block.kind in ("paragraph", "item") and not _is_prose(block.text)
        return short and not _is_reference(block.text) and not _META.match(block.text)

    def _take_unmarked_author(self) -> None:
        at = len(self.rest)
        while at > 1 and len(self.rest) - at < 6 and self._is_detail_block(self.rest[at - 1]):
            at -= 1
        details = len(self.rest) - at
        if at < 2:
            return
        block = self.rest[at - 1]
        line = re.sub(r"^[–—-]+\s*", "", block.text)
        name, rest = _split_name(line)
        if block.kind not in ("paragraph", "heading") or not _is_name(name) or _ROLE.search(name) or len(line) > 200:
            return
        before = self.rest[at - 2].text
        closes = bool(re.search(r"(?:regards|wishes|sincerely|warmly|yours)[,.]?$", before, re.IGNORECASE))
        sure = details or _is_detail(rest) or line != block.text or re.match(_TITLES, name) or closes
        if not sure and (rest or len(before) < 60 or not 2 <= len(name.split()) <= 4):
            return
        if not sure:
            self.unsure.append(f"The last line, “{name}”, was taken as the name of the author.")
        self._sign(at - 1, len(self.rest))
        if closes:
            self.unsure.append(f"“{before}” was left out.")
            self.rest.pop()

    def _is_detail_block(self, block: Block) -> bool:
        if block.kind not in ("paragraph", "item", "heading") or _is_reference(block.text):
            return False
        name, rest = _split_name(block.text)
        named = _is_name(name) and not _ROLE.search(name) and not _DEGREE.match(name) and (not rest or _is_detail(rest))
        return _is_detail(block.text) and not named

    def _sign(self, start: int, end: int) -> None:
        lines = [block.text for block in self.rest[start:end]]
        signed = _SIGNED.fullmatch(lines[0])
        if signed:
            lines[0] = signed["rest"]
        lines = [line for line in lines if line.strip()]
        if lines and (described := _described(lines[0])):
            # A description in sentences has no place in authors.yaml; it stays at the end of the text.
            self.author = described
            self.bio = self.rest[start:end]
            self.unsure.append("What the text says about its author in sentences was left at its end.")
        elif lines:
            self.author = self._read_author(lines)
        del self.rest[start:end]
        if start < len(self.rest) and start and self.author and self.rest[start:] and not self.bio:
            self._say_bio(start)

    def _say_bio(self, start: int) -> None:
        words = self.author.name.split()[-1] if self.author else ""
        if words and any(words in block.text and _is_prose(block.text) for block in self.rest[start : start + 1]):
            self.unsure.append("A paragraph about the author was left in the text.")

    def _read_author(self, lines: Sequence[str]) -> ImportedAuthor:
        name, rest = _split_name(re.sub(r"^[–—-]+\s*", "", lines[0]))
        role: str | None = None
        credentials: list[str] = []
        left: list[str] = []
        for labelled in [rest, *lines[1:]] if rest else lines[1:]:
            line = _LABEL.sub("", labelled)
            pieces = _pieces(line)
            strong = any(_DEGREE.match(piece) for piece in pieces)
            if _CONTACT.search(line) and not strong:
                left.append(line)
            elif not strong and len(line) <= LINE_LIMIT and role is None and not _is_prose(line):
                role = _unbracketed(line)
            elif not strong and (role is None or not _TITLED.match(line)):
                left.append(line)
            else:
                joined: list[str] = []
                for piece in pieces:
                    if _DEGREE.match(piece) or _TITLED.match(piece) or (joined and len(joined[-1]) > LINE_LIMIT - 150):
                        joined.append(piece)
                    elif _ROLE.search(piece) and role is None:
                        role = piece
                    elif joined:
                        joined[-1] = f"{joined[-1]}, {piece}"
                    else:
                        joined.append(piece)
                credentials += joined
        if left:
            quoted = "; ".join(f"“{line}”" for line in left)
            self.unsure.append(f"Left out of the author's entry, since it has no place for it: {quoted}.")
        name = _one_line(name).strip(":–—- ") or "Unknown"
        if re.search(r"\s(?:and|&|und)\s|,\s", name):
            self.unsure.append(f"More than one person seems to sign (“{name}”); an article has one author.")
        if len(name) > LINE_LIMIT:
            self.unsure.append(f"The author's name is too long and was cut. It was: “{name}”.")
            name = name[: LINE_LIMIT - 1] + "…"
        role = role[:LINE_LIMIT] if role else None
        return ImportedAuthor(name, role, tuple(c[:LINE_LIMIT] for c in credentials))

    # references

    def _take_references_below_heading(self) -> None:
        while (at := self._reference_heading()) is not None:
            end = at + 1
            while end < len(self.rest) and self._may_be_entry(end):
                end += 1
            heading = self.rest[at].text
            if _MAYBE_REFERENCES.fullmatch(heading):
                self.background += [_with_links(block) for block in self.rest[at + 1 : end]]
                self.unsure.append(f"What stands below “{heading}” was put among the references.")
            self.references += self.rest[at + 1 : end]
            del self.rest[at:end]

    def _reference_heading(self) -> int | None:
        for at in range(len(self.rest) - 2, -1, -1):
            block = self.rest[at]
            if block.kind not in ("heading", "paragraph", "title") or len(block.text) > 60:
                continue
            if _REFERENCES.fullmatch(block.text) and self._may_be_entry(at + 1):
                return at
            if _MAYBE_REFERENCES.fullmatch(block.text):
                end = at + 1
                while end < len(self.rest) and self._may_be_entry(end):
                    end += 1
                entries = self.rest[at + 1 : end]
                if entries and sum(1 for b in entries if _HAS_SOURCE.search(_with_links(b))) * 2 > len(entries):
                    return at
        return None

    def _may_be_entry(self, at: int) -> bool:
        block = self.rest[at]
        text = _with_links(block)
        if block.kind in ("heading", "title", "rule", "code") or len(text) > REFERENCE_LIMIT:
            return False
        if _REFERENCES.fullmatch(text) or _MAYBE_REFERENCES.fullmatch(text):
            return False
        if _is_reference(text) or block.kind == "reference":
            return True
        if _META.match(text) and len(text) < 120:
            return False
        signed = _SIGNED.fullmatch(text)
        if signed and self._signs(at, signed["rest"]):
            return False
        if self._byline_at(at) or (_is_name(re.sub(r"^[–—-]+\s*", "", text)) and not block.marker):
            return False
        if _HAS_SOURCE.search(text):
            return True
        return not (len(text) > 250 and len(re.findall(r"[.!?]\s+[A-Z]", text)) > 1)

    def _take_closing_references(self) -> None:
        styled = [i for i, block in enumerate(self.rest) if block.kind == "reference"]
        if styled:
            self.references = [self.rest[i] for i in styled]
            self.rest = [block for block in self.rest if block.kind != "reference"]
            return
        start = len(self.rest)
        while start > 1 and (_is_reference(_with_links(self.rest[start - 1])) or self._continues_entry(start - 1)):
            start -= 1
        while start < len(self.rest) and self._continues_entry(start):
            start += 1
        self.references = self.rest[start:]
        del self.rest[start:]

    def _continues_entry(self, at: int) -> bool:
        text = self.rest[at].text
        return (
            at > 1 and self.rest[at].kind == "paragraph" and bool(re.fullmatch(r"(?:https?://|doi:?\s*10\.)\S+", text))
        )

    def _reference_texts(self, words: str) -> Iterator[str]:
        by_number = bool(re.search(r"\[\d{1,3}(?:[\],;–-])", words))
        numbered = 0
        texts: list[str] = []
        for block in self.references:
            text = _with_links(block)
            number = ""
            if found := re.match(r"\[(\d{1,3})\]\s*|(\d{1,3})[.)]\s+", text):
                number, text = found[1] or found[2], text[found.end() :]
            elif block.kind == "item" and re.fullmatch(r"\d+[.)]", block.marker):
                number = block.marker[:-1]
            if texts and re.match(r"https?://|doi\b|[a-z]", text) and not number and block.kind != "item":
                texts[-1] += f" {text}"
                continue
            numbered += bool(number)
            texts.append(f"[{number}] {text}" if number and by_number else text)
        if numbered and by_number:
            self.unsure.append(
                "The text cites by numbers, so the references kept theirs; APA style has names and years."
            )
        elif numbered:
            self.unsure.append("The numbers before the references were taken off: the text does not cite by numbers.")
        for text in texts:
            if len(text) > REFERENCE_LIMIT:
                self.unsure.append(f"A reference is too long and was cut. It was: “{text}”.")
            yield text[:REFERENCE_LIMIT]

    # the text and the doubts

    def _body(self) -> str:
        blocks = join_lines([*self.rest, *self.dates])
        if not any(re.search(r"\w", block.text) for block in [*blocks, *self.bio]):
            self.unsure.append("Nothing was left for the text itself. Look at the file, and write the text.")
            return "Replace this text with the article.\n"
        blocks = [replace(block, kind="heading", level=1) if block.kind == "title" else block for block in blocks]
        blocks = [replace(block, kind="paragraph") if block.kind == "reference" else block for block in blocks]
        if self.source.kind != "markdown" and not any(block.kind == "heading" for block in blocks):
            blocks = self._guess_headings(blocks)
        blocks += [
            replace(block, kind="heading", level=2) if _SIGNED.fullmatch(block.text) else block for block in self.bio
        ]
        for block in blocks:
            if _META.match(block.text) and len(block.text) < 120 and block.kind == "paragraph":
                self.unsure.append(
                    f"“{block.text}” stayed in the text; `reviewed_by:` and `written:` at its head may be its place."
                )
        top = min((block.level for block in blocks if block.kind == "heading"), default=2)
        return write_markdown(
            [replace(block, level=block.level - top + 2) if block.kind == "heading" else block for block in blocks]
        )

    def _guess_headings(self, blocks: Sequence[Block]) -> list[Block]:
        guessed: list[Block] = []
        for block, following in zip(blocks, [*blocks[1:], None], strict=True):
            if following is not None and _may_be_heading(block, following):
                text = tuple(replace(run, bold=False) for run in block.runs)
                guessed.append(replace(block, kind="heading", runs=tidy_runs(text), level=2))
            else:
                guessed.append(block)
        if names := [f"“{block.text}”" for block in guessed if block.kind == "heading"]:
            self.unsure.append(f"Taken as headings: {', '.join(names)}. Where one is not, delete the `##` before it.")
        return guessed

    def _say_doubts(self, words: str, references: Sequence[str]) -> None:
        if self.author is None:
            self.unsure.append("No author was found. Add `author:` at the head of the article.")
        if not references:
            self.unsure.append("No references were found.")
        for reference in references:
            place = reference if len(reference) <= 60 else reference[:57] + "…"
            plain = "".join(words for words, address in split_links(reference) if address is None)
            if glued := re.search(r"[^\W\d_]{3,}\d+\(\d+\)?", plain):
                self.unsure.append(f"“{glued[0]}” seems to lack a space, in the reference “{place}”.")
            if not read_reference(reference).year:
                self.unsure.append(f"No year was found in the reference “{place}”.")
        if len(set(references)) < len(references):
            self.unsure.append("A reference stands in the list twice.")
        self.unsure += [
            f"{finding.problem} {finding.remedy}"
            for finding in check_citations(words, references)
            # Nobody expects a citation of what is named for further reading.
            if not (finding.kind == "not cited" and finding.reference in self.background)
        ]


def _may_be_heading(block: Block, following: Block) -> bool:
    text = block.text
    if (
        block.kind != "paragraph"
        or block.inner
        or block.quote
        or "\n" in text
        or len(text) > 80
        or len(text.split()) > 12
    ):
        return False
    if following.kind not in ("paragraph", "item") or (following.kind == "paragraph" and len(following.text) < 60):
        return False
    if block.bold:
        return not text.endswith((".", ",", ";"))
    if following.bold or _labelled(text) or _CONTACT.search(text):
        return False
    return (text[0].isupper() or text[0].isdigit()) and not re.search(r"[.,;:!…)\"”’]$", text)


def _labelled(text: str) -> bool:
    return bool(re.match(r"[A-Z]\w+:\s", text))


def _described(text: str) -> ImportedAuthor | None:
    """Who a sentence such as "Dr Ines Varga is a clinical psychologist who …" is about."""
    found = re.match(
        r"((?:(?:Dr|Prof|Mr|Ms|Mrs)\.?\s)*[^.,]{3,60}?)(?:,([^.]{2,80}?),?)?\s(?:is|works as|was)\s(?:an?|the|our)\s"
        r"([^.,;]{3,120}?)(?=[.,;]|\s(?:who|at|with|in|and|based|specialising|specializing)\b)",
        text,
    )
    if not found or not _is_name(found[1]):
        return None
    role = found[3].strip()
    return ImportedAuthor(found[1].strip(), role[0].upper() + role[1:], tuple(_pieces(found[2] or "")))


def _with_links(block: Block) -> str:
    """A block's words on one line; an address that hides behind words stands after them."""
    words = ""
    for run in block.runs:
        words += run.text
        if run.link and run.link not in block.text and run.link.removeprefix("mailto:") not in block.text:
            plain = [address for _, address in split_links(block.text) if address]
            words += f" {run.link}" if run.link not in plain else ""
    return _one_line(words)


def _one_line(value: Any) -> str:
    return " ".join(str(value).split())
