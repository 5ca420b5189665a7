"""Citations in a text and entries of a reference list, by the rules of APA 7; nothing is ever corrected here.

Knows the parenthetical and narrative forms, lists of names in the older styles, group authors with abbreviations, and
numbers in brackets. Where a form could be something else ("in Vienna (2013)"), it counts only when the list has it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal
from urllib.parse import quote, urlsplit

FindingKind = Literal["not listed", "not cited", "misspelt", "wrong year", "order"]


@dataclass(frozen=True)
class Citation:
    """One citation of one work: its words in the text, and where it stands there.

    `names` are the authors as written; a group is one name. `year` is "2013", "2013a", "n.d.", "in press", or empty
    for a number in brackets, which is then the only name. An unsure citation may be no citation at all.
    """

    text: str
    start: int
    names: tuple[str, ...]
    year: str
    et_al: bool = False
    sure: bool = True
    group: str = ""


@dataclass(frozen=True)
class ReferenceEntry:
    """An entry of a reference list: surnames with initials in order, or one group, title or bare text.

    `year` is empty when no year can be made out; `number` is that of a numbered list.
    """

    text: str
    authors: tuple[tuple[str, str], ...]
    year: str
    number: str = ""
    abbreviation: str = ""


@dataclass(frozen=True)
class CitationFinding:
    """Something that does not agree between text and list: what, and what to do.

    `citation` is empty when the finding is about the list alone; `start` is its place in the text, else -1.
    """

    kind: FindingKind
    citation: str
    reference: str
    start: int
    problem: str
    remedy: str


# --- references -------------------------------------------------------------------------------------------------

_YEAR = r"(?:1[5-9]|20)\d\d[a-z]?(?:/(?:1[5-9]|20)\d\d)?(?!\w)|n\.\s?d\.(?:-[a-z]\b)?|in press(?:-[a-z])?\b"
_DATED = re.compile(rf"\(\s*(?P<year>{_YEAR})[^()]*\)", re.IGNORECASE)
_BARE_YEAR = re.compile(r"(?<![\w./:-])(?:19|20)\d\d[a-z]?(?![\w/-])")
_NUMBER = re.compile(r"\s*(?:\[(?P<a>\d{1,3})\]|(?P<b>\d{1,3})[.)](?=\s))\s*")
_UPPER = r"[^\W\d_a-zß-öø-ÿ]"
_INITIALS = rf"(?:{_UPPER}[a-z]?\.[\s‑–-]*){{1,6}}|{_UPPER}{{1,3}}(?=[\s,.;&]|$)\.?"
_PERSON = re.compile(
    rf"(?P<surname>[^\W\d_][^,;&()\d]*?),\s*(?P<initials>{_INITIALS})\s*(?:,?\s*(?:Jr|Sr|I{{2,3}})\.?)?"
    r"(?=\s*(?:[,;&…]|and\b|\.|$))"
)
_VANCOUVER = re.compile(
    rf"(?P<surname>{_UPPER}[^\W\d_]+(?:[ '’-]{_UPPER}[^\W\d_]+)?)\s(?P<initials>{_UPPER}{{1,3}})(?=[,.])"
)


def read_reference(text: str) -> ReferenceEntry:
    """An entry of a reference list, as far as it can be made out; never fails."""
    plain = " ".join(text.split())
    numbered = _NUMBER.match(plain)
    number = (numbered["a"] or numbered["b"]) if numbered else ""
    body = plain[numbered.end() :] if numbered else plain
    dated = _DATED.search(body)
    head = body[: dated.start()] if dated else body
    year = dated["year"] if dated else ""
    if not dated and (bare := _BARE_YEAR.search(body)):
        year = bare[0]
    abbreviation = found[1] if (found := re.search(r"\[([^\]\d]{2,20})\]", head)) and dated else ""
    head = re.sub(r"\s*\[[^\]]*\]|\((?:Eds?|Hrsg|Trans)\.?\)", "", head).strip(" ,")
    people = _people(head, whole=bool(dated))
    return ReferenceEntry(plain, people, _plain_year(year), number, abbreviation)


def _people(head: str, *, whole: bool) -> tuple[tuple[str, str], ...]:
    pattern = _PERSON if whole or _PERSON.match(head) else _VANCOUVER
    people: list[tuple[str, str]] = []
    end = 0
    for found in pattern.finditer(head):
        if not whole and re.search(r"\.\s", head[end : found.start()]):
            break  # Without a year in brackets nothing else shows where the names end and the title begins.
        if not people and found.start() > 0:
            break
        surname = re.sub(r"^(?:…|\.{3}|and\b|und\b|et\b|y\b)\s*", "", found["surname"].strip(" .")).strip()
        people.append((surname, found["initials"].strip()))
        end = found.end()
    if people:
        return tuple(people)
    first = re.split(r"(?<=[^\W\d_]{3})\.\s", head, maxsplit=1)[0].strip(" .")
    given = re.fullmatch(rf"((?:[\w'’-]+ )?{_UPPER}[\w'’-]+), ({_UPPER}[\w'’-]+(?: {_UPPER}\.?)*)", first)
    return ((given[1], given[2]),) if given else ((first, ""),)


def _plain_year(year: str) -> str:
    return re.sub(r"^n\.\s*d\.", "n.d.", year.lower())


def sort_references(references: Sequence[str]) -> tuple[str, ...]:
    """Reference entries in the order of APA: by names letter by letter, then year; case and diacritics count nothing.

    A numbered list keeps its numbers' order, since its text cites by them.
    """
    entries = [read_reference(text) for text in references]
    if entries and all(entry.number for entry in entries):
        order = sorted(entries, key=lambda entry: int(entry.number))
    else:
        order = sorted(entries, key=_sort_key)
    return tuple(references[i] for i in _places(order, entries))


def _places(order: Sequence[ReferenceEntry], entries: Sequence[ReferenceEntry]) -> Iterator[int]:
    at = {id(entry): i for i, entry in enumerate(entries)}
    return (at[id(entry)] for entry in order)


def _sort_key(entry: ReferenceEntry) -> tuple[object, ...]:
    names = tuple(
        (_letters(re.sub(r"^(?:the|an?)\s+", "", surname, flags=re.IGNORECASE)), _letters(initials))
        for surname, initials in entry.authors
    )
    kind = 0 if entry.year.startswith("n.d.") else 2 if entry.year.startswith("in press") else 1
    return names, kind, entry.year, _letters(entry.text), entry.text


_FOLDED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i", "ð": "d", "þ": "th"})


def fold(text: str) -> str:
    """A text without case and diacritics, its apostrophes and dashes plain, for comparing names."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    plain = re.sub("[‐‑‒–]", "-", re.sub("[‘’ʼ`]", "'", plain))
    return " ".join(plain.translate(_FOLDED).split())


def _letters(text: str) -> str:
    return "".join(c for c in fold(text) if c.isalnum())


# --- citations in a text ----------------------------------------------------------------------------------------

_PARTICLES = {
    "van", "von", "der", "den", "de", "del", "della", "di", "da", "dos", "das", "du", "la", "le", "les", "ten",
    "ter", "tot", "zu", "zum", "zur", "af", "av", "el", "al", "bin", "ibn", "st",
}  # fmt: skip
_IN_GROUPS = {
    "of", "for", "and", "the", "on", "in", "to", "&", "de", "la", "des", "du", "und", "für", "et", "e", "y",
}  # fmt: skip
_MONTHS = {
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december", "spring", "summer", "autumn", "fall", "winter", "christmas", "easter", "monday", "tuesday",
    "wednesday", "thursday", "friday", "saturday", "sunday",
}  # fmt: skip
_OPENERS = {
    "in", "the", "a", "an", "as", "for", "by", "from", "with", "according", "to", "see", "however", "when", "while",
    "although", "since", "after", "before", "but", "and", "both", "like", "thus", "then", "also", "because", "if",
    "at", "on", "of", "recently", "similarly", "later", "earlier", "moreover", "furthermore", "finally",
}  # fmt: skip
_PLACES = {"in", "at", "since", "from", "until", "during", "near"}
_LEAD_IN = re.compile(
    r"^(?:(?:see|cf\.?|e\.\s?g\.?|i\.\s?e\.?|for (?:an? )?(?:example|instance|reviews?|overviews?)|reviewed in|"
    r"reviewed by|adapted from|based on|as|also|but|and|in|by|from|according to|compare|(?:as )?(?:cited|quoted) in)"
    r"[,:]?\s+)+",
    re.IGNORECASE,
)
_YEARS = rf"(?:{_YEAR})(?:\s*(?:,|;|and|&)\s*(?:(?:{_YEAR})|[a-z]\b))*"
_TAIL = r"(?P<tail>\s*[,:].*)?$"
_WORK = re.compile(rf"(?P<names>.+?)(?P<comma>,)?\s+(?P<years>{_YEARS}){_TAIL}", re.IGNORECASE | re.DOTALL)
_ONLY_YEARS = re.compile(rf"(?P<years>{_YEARS}){_TAIL}", re.IGNORECASE | re.DOTALL)
_BRACKETS = re.compile(r"\((?P<inside>[^()]{1,600})\)")
_NUMBERS = re.compile(r"\[(?P<numbers>\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*)\]")
_ET_AL = re.compile(r",?\s+(?:et\.?\s+al\b\.?|and (?:colleagues|others)|& colleagues)(?:['’]s?)?", re.IGNORECASE)


def find_citations(text: str) -> tuple[Citation, ...]:
    """The citations of a text, in their order; a number in brackets is one too."""
    found: list[Citation] = []
    for brackets in _BRACKETS.finditer(text):
        found.extend(_in_brackets(text, brackets.start("inside"), brackets["inside"]))
    for numbers in _NUMBERS.finditer(text):
        found.extend(
            Citation(numbers[0], numbers.start(), (number,), "", sure=False) for number in _each(numbers["numbers"])
        )
    return tuple(sorted(found, key=lambda citation: citation.start))


def _each(numbers: str) -> Iterator[str]:
    for part in re.split(r"\s*[,;]\s*", numbers):
        low, *high = map(int, re.split(r"\s*[–-]\s*", part))
        yield from map(str, range(low, min(max(high, default=low), low + 50) + 1))


def _in_brackets(text: str, start: int, inside: str) -> Iterator[Citation]:
    author: tuple[str, tuple[str, ...], bool, bool] | None = None
    at = start
    for part in re.split(r"(;|,?\s(?:as )?(?:cited|quoted) in\s)", inside):
        place = at + len(part) - len(part.lstrip())
        at += len(part)
        piece = part.strip()
        if only := _ONLY_YEARS.match(piece):
            if author is None and place == start + len(inside) - len(inside.lstrip()):
                # An author stands right before the year; to look further back costs time and finds others' names.
                before = text[max(start - 301, 0) : start - 1]
                author = _before(before)
                if author:
                    place = start - 1 - len(before) + before.rindex(author[0])
            if author:
                yield from _dated(author, only["years"], f"{author[0]} ({only['years']})", place)
            continue
        without = _LEAD_IN.sub("", piece)
        place += len(piece) - len(without)
        if (work := _WORK.match(without)) and (names := _read_names(work["names"])):
            plain = names[0].lower()
            sure = bool(work["comma"] or names[2] or len(names[1]) > 1) and plain not in _MONTHS
            author = (*names, sure)
            yield from _dated(author, work["years"], without[: work.end("years")], place)


def _dated(author: tuple[str, tuple[str, ...], bool, bool], years: str, text: str, at: int) -> Iterator[Citation]:
    whole, names, et_al, sure = author
    last = ""
    for found in re.finditer(rf"{_YEAR}|\b[a-z]\b", years, re.IGNORECASE):
        last = last[:4] + found[0] if len(found[0]) == 1 else _plain_year(found[0])
        yield Citation(" ".join(text.split()), at, names, last, et_al, sure, whole)


def _read_names(text: str) -> tuple[str, tuple[str, ...], bool] | None:
    """The whole author as written, single names, and whether others are meant; None for what is no name."""
    plain = " ".join(re.sub(r"\s*\[[^\]]*\]", "", text).split()).strip(" ,")
    bare = _ET_AL.sub("", plain)
    et_al = bare != plain
    bare = re.sub(r"['’]s?$", "", bare.strip(" ,"))
    if not bare or re.search(r"\d|communication|interview", bare) or len(bare.split()) > 40:
        return None
    titled = bare[0] in "\"“‘'«"
    words = re.findall(r"[^\W\d_][\w'’‑.-]*", bare)
    if not titled and not all(_in_name(word, first=i == 0) for i, word in enumerate(words)):
        return None
    if not words or not any(_capital(word) for word in words):
        return None
    names = [
        name for part in re.split(r"\s*,\s*(?:(?:&|and)\s+)?|\s+(?:&|and|und)\s+", bare) if (name := _surname(part))
    ]
    return bare.strip("\"“”‘’'«», "), tuple(names), et_al


def _in_name(word: str, *, first: bool) -> bool:
    lower = word.lower().rstrip(".")
    return _capital(word) or lower in _PARTICLES or (not first and lower in _IN_GROUPS)


def _capital(word: str) -> bool:
    letters = re.sub(r"^[dl]['’]", "", word)
    return bool(letters) and letters[0].isalpha() and not letters[0].islower()


def _surname(name: str) -> str:
    # "S. W. Derbyshire" in a text means Derbyshire; APA asks for initials only to tell two Derbyshires apart.
    return re.sub(rf"^(?:{_UPPER}\.[\s-]?)+\s*", "", name.strip(' ."“”‘’')) or name.strip()


def _before(text: str) -> tuple[str, tuple[str, ...], bool, bool] | None:
    """The author named right before a year in brackets, or None."""
    tokens = list(re.finditer(r"\S+", text))
    first = len(tokens)
    for i in range(len(tokens) - 1, -1, -1):
        word = tokens[i][0]
        core = re.sub(r"['’]s?$", "", word.strip(',*_“”"‘’'))
        joins = core.lower() in _IN_GROUPS | _PARTICLES | {"al.", "al", "colleagues", "others"}
        ends = word.endswith((".", "!", "?", ":", ";", ")")) and core.lower() != "al." and not _is_initial(core)
        if ends or not (joins or _capital(core)):
            break
        first = i
    while first < len(tokens):
        lower = tokens[first][0].strip(",").lower()
        if lower not in _OPENERS and lower not in _IN_GROUPS | {"al.", "al", "colleagues"}:
            break
        first += 1
    if first == len(tokens):
        return None
    run = text[tokens[first].start() :].rstrip()
    if not re.search(r"\s(?:and|&|et|und)\s", run) and "," in run:
        run = run.rpartition(",")[2].lstrip()
    run = re.sub(r"[*_]", "", run)
    names = _read_names(run)
    if names is None or run not in text:
        return None
    before = text[: text.rindex(run)].split()[-1:]
    sure = names[2] or len(names[1]) > 1 or not before or before[0].lower() not in _PLACES
    return run, names[1], names[2], sure and run.lower() not in _MONTHS


def _is_initial(word: str) -> bool:
    return bool(re.fullmatch(rf"(?:{_UPPER}\.-?)+", word))


# --- the two together -------------------------------------------------------------------------------------------


def check_citations(text: str, references: Sequence[str]) -> list[CitationFinding]:
    """What does not agree between a text (its bare words) and its reference list, citations first.

    A citation one or two letters away from a listed name, of the same year, is misspelt rather than not listed.
    """
    entries = [read_reference(reference) for reference in references]
    citations = find_citations(text)
    abbreviations = _abbreviations(text)
    cited: set[int] = set()
    open_citations: list[Citation] = []
    for citation in citations:
        meant = [i for i, entry in enumerate(entries) if _is_cited(citation, entry, abbreviations)]
        cited.update(meant)
        if not meant and (citation.sure or _names_any(citation, entries, abbreviations)):
            open_citations.append(citation)
    findings: list[CitationFinding] = []
    told: set[tuple[str, str]] = set()
    for citation in open_citations:
        if (citation.text, citation.year) not in told:
            told.add((citation.text, citation.year))
            findings.append(_explain(citation, entries, cited, abbreviations))
    close = {finding.reference for finding in findings}
    findings += _misspelt_beside(citations, entries, abbreviations)
    for i, entry in enumerate(entries):
        if i not in cited and entry.text not in close:
            findings.append(
                CitationFinding(
                    "not cited",
                    "",
                    entry.text,
                    -1,
                    f"“{_short(entry)}” is in the references, but the text never cites it.",
                    "Cite it where it is used, or take it off the list.",
                )
            )
    return findings + _check_order(entries)


def _abbreviations(text: str) -> Mapping[str, str]:
    """Abbreviations that the text explains: "World Health Organization [WHO]", or with round brackets."""
    known: dict[str, str] = {}
    for found in re.finditer(rf"(?<![\w'’&-])((?:[\w'’&-]+\s+){{1,9}})[\[(]({_UPPER}{{2,8}})(?=[\]),])", text):
        words = found[1].split()
        for i in range(len(words) - 1, -1, -1):
            if _acronym(" ".join(words[i:])) == found[2].lower():
                known[found[2].lower()] = fold(" ".join(words[i:]))
    return known


def _acronym(name: str) -> str:
    return "".join(word[0] for word in re.findall(r"[^\W\d_][\w'’]*", name) if word[0].isupper()).lower()


def _same_year(citation: str, entry: str) -> bool:
    if citation == entry or not entry:
        return True
    if set(citation.split("/")) & set(entry.split("/")):
        return True
    # "2013" may stand for "2013a" where only one of the two sides bothers with the letter.
    return citation.rstrip("abcdefghijk") == entry.rstrip("abcdefghijk") and (citation.isdigit() or entry.isdigit())


def _is_cited(citation: Citation, entry: ReferenceEntry, abbreviations: Mapping[str, str]) -> bool:
    if not citation.year:
        return citation.names[0] == entry.number
    return _same_year(citation.year, entry.year) and _same_author(citation, entry, abbreviations)


def _names_any(citation: Citation, entries: Sequence[ReferenceEntry], abbreviations: Mapping[str, str]) -> bool:
    if not citation.year:
        return any(entry.number for entry in entries)
    return any(_same_author(citation, entry, abbreviations) for entry in entries)


def _same_author(citation: Citation, entry: ReferenceEntry, abbreviations: Mapping[str, str]) -> bool:
    listed = fold(entry.authors[0][0])
    whole = fold(citation.group)
    if whole in (listed, entry.abbreviation.lower()) or listed in (abbreviations.get(whole), _bare(whole)):
        return True
    grouped = not entry.authors[0][1]
    if grouped and (whole == _acronym(entry.authors[0][0]) or (len(whole) > 8 and listed.startswith(whole))):
        return True
    if not citation.names:
        return False
    if len(citation.names) == 1:
        # A narrative citation may have drawn in a capital word before the name ("Recently Hashmi (2013)").
        return fold(citation.names[0]) == listed or whole.endswith(" " + listed)
    return fold(citation.names[0]).endswith(listed) and (
        fold(citation.names[0]) == listed or fold(citation.names[0]).endswith(" " + listed)
    )


def _bare(name: str) -> str:
    return name.removeprefix("the ")


def _explain(
    citation: Citation, entries: Sequence[ReferenceEntry], cited: set[int], abbreviations: Mapping[str, str]
) -> CitationFinding:
    for entry in entries:
        if citation.year and _same_year(citation.year, entry.year) and (pair := _nearly(citation, entry, first=True)):
            return _misspelt(citation, entry, *pair)
    for i, entry in enumerate(entries):
        if i not in cited and citation.year and _same_author(citation, entry, abbreviations):
            return CitationFinding(
                "wrong year",
                citation.text,
                entry.text,
                citation.start,
                f"“{citation.text}” names the year {citation.year}, but the references have {entry.year}.",
                "Correct the year on one side.",
            )
    return CitationFinding(
        "not listed",
        citation.text,
        "",
        citation.start,
        f"“{citation.text}” is cited, but not in the references.",
        "Add the work to the references, or take the citation out.",
    )


def _misspelt_beside(
    citations: Sequence[Citation], entries: Sequence[ReferenceEntry], abbreviations: Mapping[str, str]
) -> list[CitationFinding]:
    """Second and further names that are a letter away from the listed ones, where the first name agrees."""
    findings: dict[str, CitationFinding] = {}
    for citation in citations:
        for entry in entries:
            if (
                len(citation.names) > 1
                and _is_cited(citation, entry, abbreviations)
                and (pair := _nearly(citation, entry, first=False))
            ):
                findings.setdefault(citation.text, _misspelt(citation, entry, *pair))
    return list(findings.values())


def _misspelt(citation: Citation, entry: ReferenceEntry, written: str, listed: str) -> CitationFinding:
    return CitationFinding(
        "misspelt",
        citation.text,
        entry.text,
        citation.start,
        f"“{citation.text}” spells {written}, but the references have {listed}.",
        f"Did you mean {listed}? Look at the work itself, and correct one of the two.",
    )


def _nearly(citation: Citation, entry: ReferenceEntry, *, first: bool) -> tuple[str, str] | None:
    """The name as written and as listed, when they differ by so little that one must be a slip."""
    listed = [surname for surname, _ in entry.authors]
    pairs = (
        zip(citation.names[:1] or (citation.group,), listed[:1], strict=False)
        if first
        else zip(citation.names[1:], listed[1:], strict=False)
    )
    for written, known in pairs:
        tries = {written, written.split()[-1]} if first else {written}
        for name in sorted(tries, key=len, reverse=True):
            a, b = fold(name), fold(known)
            limit = 1 if min(len(a), len(b)) <= 6 else 2
            if len(a) > 2 and 0 < distance(a, b) <= limit:
                return name, known
    return None


def distance(a: str, b: str) -> int:
    """How many letters must be changed, added, dropped or swapped with their neighbour (optimal string alignment)."""
    if abs(len(a) - len(b)) > 3:
        return abs(len(a) - len(b))
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        before, last, row = row, before, [i]
        for j, y in enumerate(b, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]


def _check_order(entries: Sequence[ReferenceEntry]) -> list[CitationFinding]:
    if entries and all(entry.number for entry in entries):
        return []
    for one, next_one in pairwise(entries):
        if _sort_key(one) > _sort_key(next_one):
            return [
                CitationFinding(
                    "order",
                    "",
                    next_one.text,
                    -1,
                    f"The references are not alphabetical: “{_short(next_one)}” stands after “{_short(one)}”.",
                    "Readers see them in alphabetical order; nothing needs doing.",
                )
            ]
    return []


def _short(entry: ReferenceEntry) -> str:
    name = entry.authors[0][0]
    name = name if len(name) <= 60 else name[:57] + "…"
    others = " et al." if len(entry.authors) > 2 else f" & {entry.authors[1][0]}" if len(entry.authors) == 2 else ""
    return f"{name}{others}{f', {entry.year}' if entry.year else ''}"


# --- links in a reference ---------------------------------------------------------------------------------------

_LINK = re.compile(
    r"""(?P<url>https?://[^\s<>"“”«»\\^`{|}]+)|\bdoi(?:\.org/|:?\s*)(?P<doi>10\.\d{4,9}/[^\s"“”«»]+)""", re.IGNORECASE
)


def split_links(text: str) -> list[tuple[str, str | None]]:
    """A reference as runs of (words, address or None): DOIs and web addresses get one, a closing full stop does not.

    The words together are the text, letter by letter.
    """
    runs: list[tuple[str, str | None]] = []
    end = 0
    for found in _LINK.finditer(text):
        words = _trim(found[0])
        address = _address(found, words)
        if address is None:
            continue
        if found.start() > end:
            runs.append((text[end : found.start()], None))
        runs.append((words, address))
        end = found.start() + len(words)
    if end < len(text) or not runs:
        runs.append((text[end:], None))
    return runs


def _address(found: re.Match[str], words: str) -> str | None:
    if found["doi"]:
        return "https://doi.org/" + quote(words[found.start("doi") - found.start() :], safe="/:;()._-+,@=!*'$&~")
    try:
        parts = urlsplit(words)
        usable = bool(parts.hostname) and not parts.username and parts.port != 0
    except ValueError:
        return None
    if not usable:
        return None
    # Old addresses of the DOI system still lead there, but only this form is APA's.
    return re.sub(r"^https?://(?:dx\.|www\.)?doi\.org/(?=10\.)", "https://doi.org/", words, flags=re.IGNORECASE)


def _trim(words: str) -> str:
    while words:
        shorter = words.rstrip(".,;:!?'’…")
        for opening, closing in ("()", "[]", "<>"):
            if shorter.endswith(closing) and shorter.count(closing) > shorter.count(opening):
                shorter = shorter[:-1]
        if shorter == words:
            break
        words = shorter
    return words
