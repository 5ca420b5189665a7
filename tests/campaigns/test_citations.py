"""Citations are found in every form of APA 7, and what does not agree with the list is told apart."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.campaigns.citations import (
    check_citations,
    distance,
    find_citations,
    read_reference,
    sort_references,
    split_links,
)
from tests.campaigns.made_up_article import REFERENCES, TEXT

VERLAES = REFERENCES[1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("so (Roy, 2013).", [(("Roy",), "2013")]),
        ("so (Roy & Kay, 2013).", [(("Roy", "Kay"), "2013")]),
        ("so (Roy et al., 2013, p. 4).", [(("Roy",), "2013")]),
        ("so (see Roy, 2013; Kay, 2011a, 2011b).", [(("Roy",), "2013"), (("Kay",), "2011a"), (("Kay",), "2011b")]),
        ("so (Roy, 2013a, b).", [(("Roy",), "2013a"), (("Roy",), "2013b")]),
        ("so (Roy, n.d.; Kay, in press).", [(("Roy",), "n.d."), (("Kay",), "in press")]),
        (
            "so (Ashdown, Brandt, Calloway, & Dimitriou, 2003).",
            [(("Ashdown", "Brandt", "Calloway", "Dimitriou"), "2003")],
        ),
        ("so (Freud, 1900/1953, as cited in Adams, 2001).", [(("Freud",), "1900/1953"), (("Adams",), "2001")]),
        ("As Roy and Kay (2013) say", [(("Roy", "Kay"), "2013")]),
        ("In Roy et al.’s (2013) study", [(("Roy",), "2013")]),
        ("what van der Kolk (2014) wrote", [(("van der Kolk",), "2014")]),
        ("(O’Brien & García-Márquez, 2011)", [(("O’Brien", "García-Márquez"), "2011")]),
        ("S. W. Ashdown (2003) says", [(("Ashdown",), "2003")]),
        ("(World Health Organization [WHO], 2020)", [(("World Health Organization",), "2020")]),
        ("the World Health Organization (WHO, 2020)", [(("WHO",), "2020")]),
        ("Rest helps [1, 3–4].", [(("1",), ""), (("3",), ""), (("4",), "")]),
    ],
)
def test_every_form_of_a_citation_is_found(text: str, found: list[tuple[tuple[str, ...], str]]) -> None:
    assert [(citation.names, citation.year) for citation in find_citations(text)] == found


@pytest.mark.parametrize(
    "text",
    [
        "We met (in May 2020).",
        "the handbook (2013 edition)",
        "It rained (May 2020).",
        "She told us (J. Doe, personal communication, May 3, 2020).",
        "In Vienna (2013) we met.",
        "a degree (Hons.) and a number (12)",
        "published (last updated in March, 2020)",
    ],
)
def test_what_only_looks_like_a_citation_is_left_alone(text: str) -> None:
    assert check_citations(text, []) == []


def test_a_citation_a_letter_away_from_the_list_is_misspelt_and_nothing_else() -> None:
    (finding,) = check_citations(TEXT.split("Ashdown, P.W.")[0], REFERENCES)

    assert (finding.kind, finding.citation, finding.reference) == ("misspelt", "Velraes et al., 2015", VERLAES)
    assert "Verlaes" in finding.remedy


def test_a_second_name_that_is_misspelt_is_found_too() -> None:
    (finding,) = check_citations("so (Ashdown, Brand, Calloway, & Dimitriou, 2003)", REFERENCES[:1])

    assert (finding.kind, "Brandt" in finding.remedy) == ("misspelt", True)


def test_a_wrong_year_is_told_from_a_missing_entry() -> None:
    findings = check_citations("so (Verlaes et al., 2014) and (Nobody, 1999)", [VERLAES])

    assert [(f.kind, f.citation) for f in findings] == [
        ("wrong year", "Verlaes et al., 2014"),
        ("not listed", "Nobody, 1999"),
    ]


def test_another_work_of_a_listed_author_is_not_listed_rather_than_a_wrong_year() -> None:
    findings = check_citations("so (Verlaes et al., 2015) and (Verlaes, 2019)", [VERLAES])

    assert [(f.kind, f.citation) for f in findings] == [("not listed", "Verlaes, 2019")]


def test_an_entry_that_the_text_never_cites_is_told() -> None:
    (finding,) = check_citations("Nothing is cited here.", [VERLAES])

    assert (finding.kind, finding.reference) == ("not cited", VERLAES)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("so (WHO, 2020)", "World Health Organization. (2020). Guidelines. https://www.example.org/"),
        ("so the World Health Organization (2020) says", "World Health Organization. (2020). Guidelines."),
        ("so (National Institute for Health and Care Excellence, 2021)",
         "National Institute for Health and Care Excellence. (2021). Chronic pain."),
        ("so (Muller, 2001)", "Müller, K. (2001). Schlaf. Verlag."),
        ("so (Roy, 2001)", "Roy, K. (2001, May 3). A talk."),
        ("so (Lee & Park, 2015)", "Lee K, Park S. Walking works. Lancet 2015;12:33-40."),
        ("so [2]", "[2] Lee K, Park S. Walking works. Lancet 2015;12:33-40."),
        ("so (Roy, 2001)", "Roy, K. (2001a). One of two."),
        ("Recently Roy (2001) found", "Roy, Karl (2001). A book."),
        ("so (“A talk about sleep,” 2019)", "A talk about sleep and rest. (2019). Site."),
    ],
)  # fmt: skip
def test_a_citation_finds_its_entry(text: str, reference: str) -> None:
    assert check_citations(text, [reference]) == []


def test_a_list_out_of_order_is_told_once() -> None:
    text = "so (Ashdown, Brandt, Calloway, & Dimitriou, 2003; Verlaes et al., 2015)"

    assert [f.kind for f in check_citations(text, REFERENCES)] == []
    assert [f.kind for f in check_citations(text, REFERENCES[::-1])] == ["order"]


def test_an_entry_is_read_as_names_and_year() -> None:
    entry = read_reference("van der Kolk, B. A., Ng, Z., & O’Brien, A.-M. (2014a). The body.")

    assert entry.authors == (("van der Kolk", "B. A."), ("Ng", "Z."), ("O’Brien", "A.-M."))
    assert entry.year == "2014a"


def test_references_are_sorted_as_apa_sorts_them() -> None:
    sorted_list = (
        "Açar, B. (2010). X.",
        "The Arc Group. (2001). X.",
        "de Witt, A. (1999). X.",
        "Roy, A. (n.d.). X.",
        "Roy, A. (2001). X.",
        "Roy, A. (2010). X.",
        "Roy, A. (in press). X.",
        "Roy, A., & Bo, C. (1990). X.",
        "Royce, A. (1980). X.",
        "Zorn, Z. (2000). X.",
    )

    assert sort_references(sorted_list[::-1]) == sorted_list


def test_a_numbered_list_stays_in_the_order_of_its_numbers() -> None:
    assert sort_references(["[10] Abe, A. (2001). X.", "[2] Roy, A. (2001). X."])[0].startswith("[2]")


@given(st.lists(st.text(max_size=40), max_size=6))
def test_sorting_loses_no_entry_and_is_settled_after_once(references: list[str]) -> None:
    once = sort_references(references)

    assert sorted(once) == sorted(references)
    assert sort_references(once) == once


def test_dois_and_addresses_become_links_without_the_full_stop() -> None:
    text = "Roy (2001). X. https://doi.org/10.1016/S0140-6736(05)67394-1. Also doi:10.1000/a<b>1, (http://www.example.org/a_(b))."

    assert [run for run in split_links(text) if run[1]] == [
        ("https://doi.org/10.1016/S0140-6736(05)67394-1", "https://doi.org/10.1016/S0140-6736(05)67394-1"),
        ("doi:10.1000/a<b>1", "https://doi.org/10.1000/a%3Cb%3E1"),
        ("http://www.example.org/a_(b)", "http://www.example.org/a_(b)"),
    ]


def test_old_addresses_of_the_doi_system_lead_to_the_new_one() -> None:
    assert split_links("http://dx.doi.org/10.1000/1") == [("http://dx.doi.org/10.1000/1", "https://doi.org/10.1000/1")]


@given(st.text(alphabet=st.sampled_from("hHtTpPs:/.dDoOiI10 ()<>[]x@%#\n,"), max_size=60))
def test_the_words_of_the_runs_are_the_text(text: str) -> None:
    assert "".join(words for words, _ in split_links(text)) == text


@pytest.mark.parametrize(
    ("a", "b", "steps"), [("velraes", "verlaes", 1), ("roy", "roy", 0), ("roy", "ray", 1), ("ab", "ba", 1)]
)
def test_two_swapped_letters_are_one_slip(a: str, b: str, steps: int) -> None:
    assert distance(a, b) == steps


@given(st.text(alphabet=string.printable + "áß“”’–", max_size=200), st.lists(st.text(max_size=80), max_size=4))
def test_no_text_breaks_the_check(text: str, references: list[str]) -> None:
    for finding in check_citations(text, references):
        assert finding.problem
        assert finding.remedy
