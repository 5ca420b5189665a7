"""An article comes out of text, Markdown and Word as its author meant it, and no word of it is lost."""

from __future__ import annotations

import io
import re
import textwrap
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import pytest
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from newsletter.campaigns.article_blocks import Block, Run, tidy_runs, write_markdown
from newsletter.campaigns.article_import import ImportedArticle, read_article_file
from newsletter.campaigns.markdown import find_faults, to_html, to_words
from newsletter.errors import ImportRefused
from tests.campaigns.made_up_article import DEGREES, NAME, PARAGRAPHS, REFERENCES, ROLE, TEXT, TITLE


def read(text: str, name: str = "text.txt") -> ImportedArticle:
    return read_article_file(text.encode(), name)


def read_word(write: Callable[[Any], None]) -> ImportedArticle:
    document = docx.Document()
    write(document)
    file = io.BytesIO()
    document.save(file)
    return read_article_file(file.getvalue(), "text.docx")


def assert_understood(article: ImportedArticle) -> None:
    assert article.title == TITLE
    assert article.body.strip().split("\n\n") == list(PARAGRAPHS)
    assert article.references == REFERENCES
    assert article.author is not None
    assert (article.author.name, article.author.role, article.author.credentials) == (NAME, ROLE, DEGREES)


# --- the shape that the first author hands in ---


def test_a_plain_text_comes_out_right_with_no_hand_work() -> None:
    article = read(TEXT)

    assert_understood(article)
    assert len(article.unsure) == 2
    assert "“Sleepers136(9)” seems to lack a space" in article.unsure[0]
    assert "Did you mean Verlaes?" in article.unsure[1]


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        TEXT.replace("\n", "\r\n").encode(),
        re.sub(r"\n+", "\n", TEXT).encode(),
        ("\u200b" + TEXT.replace(" ", "\xa0", 3)).encode(),
    ],
    ids=["byte-order mark", "UTF-16", "Windows line ends", "one line a paragraph", "spaces that nobody sees"],
)
def test_the_way_a_text_was_saved_makes_no_difference(content: bytes) -> None:
    assert_understood(read_article_file(content, "text.txt"))


def test_windows_1252_and_unmarked_utf_16_are_guessed_and_said() -> None:
    text = TEXT.replace("a tune", "a “tune”")
    for encoding, word in (("cp1252", "Windows-1252"), ("utf-16-le", "UTF-16")):
        article = read_article_file(text.encode(encoding), "text.txt")
        assert "a “tune”" in article.body
        assert word in article.unsure[0]


def test_lines_that_a_mail_program_broke_are_put_together() -> None:
    *front, degrees = TEXT.split("\n\n")
    wrapped = "\n\n".join(["\n".join(textwrap.wrap(part, 72)) for part in front] + [degrees])

    assert_understood(read(wrapped))


@pytest.mark.parametrize("heading", ["References", "REFERENCES:", "Bibliography", "Sources", "Further reading"])
@pytest.mark.parametrize("mark", ["", "• ", "– "])
def test_references_below_a_heading_or_with_bullets_are_the_same(heading: str, mark: str) -> None:
    listed = "\n".join(mark + reference for reference in REFERENCES)

    assert_understood(read(TEXT.replace("\n\n".join(REFERENCES), f"{heading}\n\n{listed}")))


def test_numbers_before_references_go_when_the_text_does_not_cite_by_them() -> None:
    numbered = "\n".join(f"[{i}] {reference}" for i, reference in enumerate(REFERENCES, start=1))

    assert read(TEXT.replace("\n\n".join(REFERENCES), f"References\n{numbered}")).references == REFERENCES


def test_numbers_before_references_stay_when_the_text_cites_by_them() -> None:
    article = read("Moving\n\nIt helps [1].\n\nSources\n\n[1] Roy, A. (2010). Moving on. https://doi.org/10.1000/1.\n")

    assert article.references == ("[1] Roy, A. (2010). Moving on. https://doi.org/10.1000/1.",)
    assert article.body == "It helps [1].\n"


@pytest.mark.parametrize(
    ("block", "author"),
    [
        ("Written by Dr Ana Petrov, Therapist, MSc, CPsychol", ("Dr Ana Petrov", "Therapist", ("MSc", "CPsychol"))),
        ("By Ana Petrov, PhD", ("Ana Petrov", None, ("PhD",))),
        ("Author: Ana van der Berg\nRole: Nurse", ("Ana van der Berg", "Nurse", ())),
        ("Ana Petrov, PhD\nClinical Psychologist, Willow Lane",
         ("Ana Petrov", "Clinical Psychologist, Willow Lane", ("PhD",))),
        ("— Ana O’Neill-Petrov", ("Ana O’Neill-Petrov", None, ())),
        ("Kind regards,\nAna Petrov\nCoach", ("Ana Petrov", "Coach", ())),
        ("About the author\n\nAna Petrov\n\nNurse\n\n• M.Sc. Nursing\n• RN",
         ("Ana Petrov", "Nurse", ("M.Sc. Nursing", "RN"))),
        ("About the author\n\nDr Ana Petrov is a clinical psychologist who swims.",
         ("Dr Ana Petrov", "Clinical psychologist", ())),
    ],
)  # fmt: skip
def test_the_author_is_found_at_the_end(block: str, author: tuple[str, str | None, tuple[str, ...]]) -> None:
    for before, after in ((f"{REFERENCES[0]}\n\n{block}", ""), (block, f"\n\nReferences\n{REFERENCES[0]}")):
        article = read(f"{TITLE}\n\n{PARAGRAPHS[0]}\n\n{PARAGRAPHS[1]}\n\n{before}{after}\n")
        assert article.author is not None
        assert (article.author.name, article.author.role, article.author.credentials) == author
        assert article.references == REFERENCES[:1]
        assert article.body.startswith("\n\n".join(PARAGRAPHS[:2]))


@pytest.mark.parametrize("byline", ["By Ana Petrov, PhD", "Dr Ana Petrov, Nurse", "Written by: Ana Petrov"])
def test_the_author_is_found_at_the_top(byline: str) -> None:
    article = read(f"{TITLE}\n{byline}\n\n{PARAGRAPHS[0]}\n")

    assert article.author is not None
    assert "Ana Petrov" in article.author.name
    assert article.body.strip() == PARAGRAPHS[0]


def test_a_description_of_the_author_stays_in_the_text() -> None:
    article = read(
        f"{TITLE}\n\n{PARAGRAPHS[0]}\n\nAbout the author\n\nAna Petrov is a nurse who swims. She has a dog.\n"
    )

    assert article.body.endswith("## About the author\n\nAna Petrov is a nurse who swims. She has a dog.\n")


def test_a_text_without_author_and_references_says_so() -> None:
    article = read(f"{TITLE}\n\n{PARAGRAPHS[0]}\n\nTry it tonight.")

    assert (article.author, article.references) == (None, ())
    assert article.unsure == (
        "No author was found. Add `author:` at the head of the article.",
        "No references were found.",
    )


def test_without_a_title_the_name_of_the_file_stands_for_it_and_that_is_said() -> None:
    article = read(PARAGRAPHS[0], "on_restless-nights.txt")

    assert article.title == "On restless nights"
    assert "does not begin with a title" in article.unsure[0]


def test_the_head_of_a_mail_is_left_out_and_its_subject_is_the_title() -> None:
    article = read(f"From: Ana <ana@example.org>\nTo: Office\nSubject: Fwd: Calm\n\n{PARAGRAPHS[0]}\n")

    assert article.title == "Calm"
    assert any("ana@example.org" in note for note in article.unsure)


def test_lists_and_headings_of_a_plain_text_become_lists_and_headings() -> None:
    text = (
        "How to rest\n\nWhat helps\n\n• go to bed\n• keep it dark and\n  cool\n\n"
        "In this order:\n\n1. lie down\n2) breathe\n"
    )

    article = read(text)

    assert (
        article.body
        == "## What helps\n\n- go to bed\n- keep it dark and cool\n\nIn this order:\n\n1. lie down\n2. breathe\n"
    )
    assert "Taken as headings: “What helps”" in article.unsure[0]


def test_text_that_looks_like_markdown_stays_that_text() -> None:
    words = "# 1. * _ < & R&D a*b*c `d` [e](f) <g> &amp; **h**"

    body = read(f"A title\n\n{words}\n\n1. A single number is no list, and - neither is this.").body

    assert to_words(body).split("\n")[0] == words
    assert "1. A single number" in to_words(body)
    assert "<ol>" not in to_html(body)


# --- Markdown ---


def test_markdown_keeps_its_looks_and_loses_what_no_mail_shows() -> None:
    article = read(
        "---\ntitle: 'A: title'\nauthor: Jane Roe, PhD\ntags: [a, b]\nreferences:\n  - Roe, J. (2020). X.\n---\n"
        "So *it* is, **truly** `so`, says a [page](https://www.example.org/) and [another](/rel) (Roe, 2020).\n\n"
        "![A brain](brain.png)\n\n## Part\n\n1. one\n   - two\n\n> quoted\n",
        "text.md",
    )

    assert article.title == "A: title"
    assert article.author is not None
    assert (article.author.name, article.author.credentials) == ("Jane Roe", ("PhD",))
    assert article.references == ("Roe, J. (2020). X.",)
    assert article.body == (
        "So *it* is, **truly** `so`, says a [page](https://www.example.org/) and another (Roe, 2020).\n\n"
        "## Part\n\n1. one\n   - two\n\n> quoted\n"
    )
    assert find_faults(article.body, "x", 1) == []
    said = " ".join(article.unsure)
    assert all(word in said for word in ("picture:", "A brain", "/rel", "tags: a, b"))


# --- Word ---


def test_a_word_file_with_styles_comes_out_right() -> None:
    def write(document: Any) -> None:
        document.add_heading(TITLE, 0)
        for paragraph in PARAGRAPHS:
            document.add_paragraph(paragraph)
        document.add_heading("References", 1)
        for part in (*REFERENCES, "Written by:", NAME, ROLE, ", ".join(DEGREES)):
            document.add_paragraph(part)

    assert_understood(read_word(write))


def test_a_word_file_without_styles_comes_out_right() -> None:
    def write(document: Any) -> None:
        document.add_paragraph().add_run(TITLE).bold = True
        for part in (*PARAGRAPHS, *REFERENCES):
            document.add_paragraph(part)
        signed = document.add_paragraph("Written by:")
        for line in (NAME, ROLE, ", ".join(DEGREES)):
            signed.add_run().add_break()
            signed.add_run(line)

    assert_understood(read_word(write))


def test_a_word_file_of_one_paragraph_with_line_breaks_comes_out_right() -> None:
    assert_understood(read_word(lambda document: document.add_paragraph(TEXT)))


def test_references_in_the_style_bibliography_need_no_heading() -> None:
    def write(document: Any) -> None:
        document.styles.add_style("Bibliography", WD_STYLE_TYPE.PARAGRAPH)
        document.add_paragraph(TITLE, style="Title")
        document.add_paragraph(PARAGRAPHS[0])
        document.add_paragraph("Anonymous. A leaflet without a year.", style="Bibliography")

    article = read_word(write)

    assert article.references == ("Anonymous. A leaflet without a year.",)
    assert any("No year was found" in note for note in article.unsure)


def test_looks_lists_and_links_of_word_become_markdown() -> None:
    def write(document: Any) -> None:
        document.add_heading(TITLE, 0)
        paragraph = document.add_paragraph("So ")
        paragraph.add_run("very ").italic = True
        paragraph.add_run("bold").bold = True
        paragraph._p.append(link(document, "a page", "https://www.example.org/a b"))
        document.add_heading("A part", 1)
        document.add_heading("A part of it", 2)
        for style, text in (
            ("List Bullet", "one"),
            ("List Bullet 2", "within"),
            ("List Number", "first"),
            ("Quote", "said"),
        ):
            document.add_paragraph(text, style=style)

    body = read_word(write).body

    assert body == (
        "So *very* **bold**[a page](https://www.example.org/a%20b)\n\n## A part\n\n### A part of it\n\n"
        "- one\n  - within\n\n1. first\n\n> said\n"
    )


def test_what_a_mail_cannot_hold_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "dot.png")

    def write(document: Any) -> None:
        document.add_paragraph(TITLE, style="Title")
        paragraph = document.add_paragraph("Kept. ")
        paragraph._p.append(wrapped("w:ins", run("Inserted. ")))
        paragraph._p.append(wrapped("w:del", run("Deleted.", "w:delText")))
        document.add_picture(str(tmp_path / "dot.png"))
        document.add_picture(str(tmp_path / "dot.png"))
        table = document.add_table(1, 2)
        table.cell(0, 0).text, table.cell(0, 1).text = "Monday", "walk"
        document.add_comment(paragraph.runs, text="Really?", author="A", initials="A")

    article = read_word(write)

    assert article.body == "Kept. Inserted.\n\n- Monday; walk\n"
    said = " ".join(article.unsure)
    assert all(
        words in said
        for words in ("2 pictures were left out", "1 tracked deletion was", "1 table was turned", "1 comment was")
    )


def test_a_table_stays_apart_from_the_lists_beside_it() -> None:
    def write(document: Any) -> None:
        document.add_paragraph(TITLE, style="Title")
        document.add_paragraph("Get up at the same hour", style="List Bullet")
        table = document.add_table(2, 2)
        for row, (hour, what) in enumerate([("Hour", "What"), ("Seven", "Get up")]):
            table.cell(row, 0).text, table.cell(row, 1).text = hour, what
        document.add_paragraph("Go out into the light", style="List Bullet")

    assert read_word(write).body == (
        "- Get up at the same hour\n\n* Hour; What\n* Seven; Get up\n\n- Go out into the light\n"
    )


def link(document: Any, text: str, address: str) -> Any:
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/hyperlink"
    element = wrapped("w:hyperlink", run(text))
    element.set(qn("r:id"), document.part.relate_to(address, kind, is_external=True))
    return element


def run(text: str, tag: str = "w:t") -> Any:
    words = OxmlElement(tag)
    words.text = text
    return wrapped("w:r", words)


def wrapped(tag: str, child: Any) -> Any:
    element = OxmlElement(tag)
    element.append(child)
    return element


# --- what is refused ---


def archive(**parts: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in parts.items():
            packed.writestr(name.replace("__", "/").replace("_xml", ".xml"), text)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.7 ...", "is a PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"x" * 600, "old Word file"),
        (b"{\\rtf1 hello}", "RTF"),
        (b"<!DOCTYPE html><p>Hello", "web page"),
        (b"just text", "not a Word file"),
        (archive(mimetype="application/vnd.oasis.opendocument.text", content_xml="<x/>"), "OpenDocument"),
        (archive(hello="x"), "not a Word file"),
        (archive(word__document_xml="<w>" + " " * 21_000_000 + "</w>"), "far too large once unpacked"),
        (archive(word__document_xml="<w>"), "is damaged"),
        (archive(word__document_xml="<w/>")[:60], "is damaged"),
    ],
    ids=["pdf", "doc", "rtf", "html", "text", "odt", "zip", "bomb", "broken", "cut"],
)
def test_a_file_that_is_no_word_file_is_refused_with_what_to_do(content: bytes, words: str) -> None:
    with pytest.raises(ImportRefused, match=words):
        read_article_file(content, "text.docx")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no text"),
        (b" \n ---- \n", "no text"),
        (bytes(range(256)) * 9, "is no text"),
        (b"\xff\xfea", "damaged"),
        (b"word " * 120_000, "as long as a book"),
        (b"x" * 25_000_001, "larger than 25 MB"),
    ],
    ids=["empty", "spaces", "bytes", "half a letter", "book", "huge"],
)
def test_a_file_that_holds_no_article_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(ImportRefused, match=words):
        read_article_file(content, "text.txt")


def test_a_word_file_is_known_by_its_content_whatever_its_name() -> None:
    file = io.BytesIO()
    document = docx.Document()
    document.add_paragraph(TEXT)
    document.save(file)

    assert_understood(read_article_file(file.getvalue(), "text.txt"))


# --- nothing is lost ---

WORDS = st.text(
    alphabet=st.sampled_from("abcdeEFGHéß09.,;:!?()[]{}*_`#<>&~=+-–—•·'\"“”’/\\|@ "), min_size=1, max_size=60
)
SHAPED = st.sampled_from([
    "References", "By Ana Petrov, PhD", "Written by:", "Ana Petrov", "Clinical Psychologist", "• item", "1. one",
    "2. two",
    "About the author",
    "Roy, A. (2010). Moving on. Press.", "[1] Roy, A. (2010). On.", "Kind regards,", "Title: x",
    "From: me", "Subject: y", "https://www.example.org/a_b?c=d.", "PhD, MSc", "Sources", "- - -", "MSc", "", "",
])  # fmt: skip
STRUCTURE = {"references", "sources", "by", "written", "about", "the", "author", "title", "fwd", "subject", "re"}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(WORDS, SHAPED), min_size=1, max_size=14), st.sampled_from(["\n", "\n\n"]))
def test_every_word_of_a_text_is_somewhere(lines: list[str], gap: str) -> None:
    text = gap.join(lines)
    try:
        article = read(text)
    except ImportRefused:
        assert not re.search(r"[^\W_]", text)
        return
    author = (article.author.name, article.author.role or "", *article.author.credentials) if article.author else ()
    body = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", article.body)
    found = " ".join((article.title, body, *article.references, *author, *article.unsure))
    there = set(re.findall(r"[^\W\d_]+", found.casefold()))
    wanted = set(re.findall(r"[^\W\d_]+", unicodedata.normalize("NFC", text).casefold()))
    assert wanted - there - STRUCTURE == set()
    assert find_faults(article.body, "x", 1) == []


RUNS = st.builds(
    Run,
    st.text(alphabet=st.sampled_from("ab1 .)(*_`[]<>&#-+=~!\\:;|/\"'\n\té"), max_size=12),
    bold=st.booleans(),
    italic=st.booleans(),
    code=st.sampled_from([False, False, True]),
    link=st.sampled_from(["", "", "https://www.example.org/a_(b)?c&amp;d"]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(RUNS, max_size=4))
def test_runs_of_any_look_read_back_as_their_words(runs: list[Run]) -> None:
    for line in Block("paragraph", tidy_runs(runs)).lines():
        written = write_markdown([line])
        assert re.sub(r" ?<https://www\.example\.org/[^>]*>", "", to_words(written)).strip() == line.text.strip()
