"""The archive: everybody may read what went out and follow it, and it has nothing of any reader."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from urllib.parse import urljoin

import pytest
from lxml import etree
from lxml.html import HtmlElement, fromstring
from starlette.testclient import TestClient

from newsletter.database.session import Database
from newsletter.editions.model import EditionState
from newsletter.editions.tables import Edition
from newsletter.rendering.model import LinkTag
from newsletter.site import Site
from newsletter.subscribers.offer import Offer
from newsletter.subscribers.sign_up_page import SignUpPage
from newsletter.web import create_app
from tests.factories import StillClock
from tests.web.published import publish, sample_letters, send_out
from tests.web.test_public import everything

BASE = "https://news.example.org"
OPENING = "/archive/2026-11-opening"
FOR_PROGRAMS = ("/archive/feed.xml", "/sitemap.xml", "/robots.txt")
ATOM = "{http://www.w3.org/2005/Atom}"

# What RFC 4287 wants of a feed such as ours: its elements, in any order, with the attributes that they may have.
ATOM_SCHEMA = """
<grammar xmlns="http://relaxng.org/ns/structure/1.0" ns="http://www.w3.org/2005/Atom"
         datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">
  <start><element name="feed"><ref name="language"/><interleave>
    <element name="id"><data type="anyURI"/></element>
    <ref name="title"/> <ref name="updated"/> <ref name="author"/>
    <oneOrMore><ref name="link"/></oneOrMore>
    <zeroOrMore><element name="entry"><ref name="language"/><interleave>
      <element name="id"><data type="anyURI"/></element>
      <ref name="title"/> <ref name="updated"/> <ref name="link"/>
      <element name="published"><ref name="instant"/></element>
      <element name="summary"><text/></element>
    </interleave></element></zeroOrMore>
  </interleave></element></start>
  <define name="language"><attribute name="xml:lang"><data type="language"/></attribute></define>
  <define name="title"><element name="title"><text/></element></define>
  <define name="updated"><element name="updated"><ref name="instant"/></element></define>
  <define name="instant"><data type="dateTime"/></define>
  <define name="author"><element name="author"><element name="name"><text/></element></element></define>
  <define name="link"><element name="link">
    <attribute name="rel"><choice><value>self</value><value>alternate</value></choice></attribute>
    <attribute name="type"/>
    <attribute name="href"><data type="anyURI"/></attribute>
    <optional><attribute name="hreflang"><data type="language"/></attribute></optional>
  </element></define>
</grammar>
"""


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Site:
    return publish(database, tmp_path, *sample_letters())


def browse(site: Site) -> TestClient:
    return TestClient(create_app(site, public_only=True), base_url=BASE, follow_redirects=False)


# The pages are made of values; that these are the same from each database is for tests/delivery/test_archive.py.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_an_anonymous_visitor_finds_every_letter_and_nothing_of_any_reader(site: Site) -> None:
    before = everything(site.database)
    client = browse(site)
    seen: dict[str, str] = {}
    waiting = ["/", "/robots.txt", "/sitemap.xml", "/archive/feed.xml"]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert "set-cookie" not in answer.headers
        seen[path] = answer.text if answer.headers["content-type"].startswith(("text", "application")) else ""
        waiting += [found for found in _addresses(seen[path], path) if found not in seen]
    assert {OPENING, "/archive/2026-11-watch-and-listen", "/archive/", "/archive/?lang=de"} <= seen.keys()
    personal = re.compile(r"/(unsubscribe|preferences|confirm)\b|@example\.org|\breader\d|-token-")
    assert {path: found[0] for path, text in seen.items() if (found := personal.search(text))} == {}
    assert not any(tag.value in text for text in seen.values() for tag in LinkTag)
    assert everything(site.database) == before


def _addresses(text: str, path: str) -> list[str]:
    """Every address on this site that a page or a file names."""
    named = re.findall(r'(?:href=|src=|content=|<loc>|<id>|Sitemap: )"?([^"<\s]+)', text)
    found = {urljoin(f"{BASE}{path}", name) for name in named if "/" in name or "?" in name}
    return [one.removeprefix(BASE) for one in found if one.startswith(f"{BASE}/")]


@on_sqlite
def test_pages_ask_nothing_of_anybody_else(site: Site) -> None:
    for path in ("/", "/archive/", OPENING):
        page = fromstring(browse(site).get(path).text)
        loaded = [*page.xpath("//@src"), *page.xpath('//link[contains("stylesheet icon", @rel)]/@href')]
        assert loaded
        assert [one for one in loaded if not re.match(r"/(static|media)/|data:,", one)] == []
        assert page.xpath("//script | //iframe | //object | //embed | //form") == []
        assert "url(" not in "".join(page.xpath("//style/text() | //@style"))


@on_sqlite
def test_the_list_leads_to_each_letter_with_its_theme_and_day(site: Site) -> None:
    page = fromstring(browse(site).get("/archive/").text)
    rows = [" ".join(row.text_content().split()) for row in page.xpath('//ul[@class="letters"]/li')]
    assert rows == [
        "Four voices on unlearning pain Neuroplastic pain · 17 November 2026",
        "Pain that was learned may be unlearned Neuroplastic pain · 3 November 2026",
    ]
    assert page.xpath("//ul/li/a/@href") == ["/archive/2026-11-watch-and-listen", OPENING]
    assert [heading.text for heading in page.xpath("//h2")] == ["2026"]


@on_sqlite
def test_letters_of_many_years_have_a_page_for_each(database: Database, tmp_path: Path) -> None:
    opening = sample_letters()[0]
    months = [f"{year}-{month:02}" for year in (2024, 2025, 2026) for month in range(1, 11)]
    client = browse(publish(database, tmp_path, *(replace(opening, month=month) for month in months)))
    newest = fromstring(client.get("/archive/").text)
    assert newest.xpath("//ul/li/a/@href") == [f"/archive/{month}-opening" for month in reversed(months)][:24]
    assert newest.xpath('//nav[@class="years"]/a/text()') == ["The newest", "2026", "2025", "2024"]
    of_2024 = fromstring(client.get("/archive/2024").text)
    assert of_2024.xpath("//ul/li/a/@href") == [f"/archive/2024-{month:02}-opening" for month in range(10, 0, -1)]
    for nothing in ("2023", "0", "20240", "9" * 5_000):
        assert client.get(f"/archive/{nothing}").status_code == 404
    assert len(etree.fromstring(client.get("/archive/feed.xml").content).findall(f"{ATOM}entry")) == 30


@on_sqlite
@pytest.mark.parametrize("name", ["99999999999999999999", "2026-11-nothing", "2026-11-", "%00", "2026-11-opening-1"])
def test_what_is_not_there_is_said_kindly(site: Site, name: str) -> None:
    answer = browse(site).get(f"/archive/{name}")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text


@on_sqlite
def test_an_archive_without_a_letter_says_so(database: Database, tmp_path: Path) -> None:
    client = browse(publish(database, tmp_path))
    assert "No letter has gone out yet" in client.get("/archive/").text
    assert client.get("/").status_code == 200
    _check_feed(client.get("/archive/feed.xml").content)


def meta(page: HtmlElement, name: str) -> str:
    (value,) = page.xpath(f'//meta[@property="{name}" or @name="{name}"]/@content')
    return str(value)


@on_sqlite
def test_a_letter_says_what_it_is_to_whoever_shares_it(site: Site) -> None:
    page = fromstring(browse(site).get(OPENING).text)
    assert page.findtext(".//title") == "Pain that was learned may be unlearned · Willow Lane Clinic"
    assert page.xpath('//link[@rel="canonical"]/@href') == [f"{BASE}{OPENING}"]
    names = ("type", "title", "site_name", "url", "description", "image:alt")
    told = {name: meta(page, f"og:{name}") for name in names}
    assert told == {
        "type": "article",
        "title": "Pain that was learned may be unlearned",
        "site_name": "Willow Lane Clinic",
        "url": f"{BASE}{OPENING}",
        "description": "What brain research says about pain without injury",
        "image:alt": "A path worn into a meadow",
    }
    assert meta(page, "description") == told["description"]
    assert meta(page, "twitter:card") == "summary_large_image"
    assert browse(site).get(meta(page, "og:image")).headers["content-type"] == "image/jpeg"
    assert datetime.fromisoformat(meta(page, "article:published_time")).utcoffset() is not None


@on_sqlite
def test_a_letter_has_landmarks_and_leads_on(site: Site) -> None:
    page = fromstring(browse(site).get(OPENING).text)
    assert [page.xpath(f"count(//body/{name})") for name in ("header", "main", "footer")] == [1, 1, 1]
    assert page.xpath("//a/@href")[0] == "#letter"
    assert page.xpath("//main/@id") == ["letter"]
    assert page.xpath("count(//h1)") == 1
    assert page.xpath("//footer//a/@href") == ["/subscribe", "/archive/2026-11-watch-and-listen"]
    assert "References" in page.text_content()


@on_sqlite
def test_a_page_speaks_the_language_of_its_letter(database: Database, tmp_path: Path) -> None:
    client = browse(publish(database, tmp_path, sample_letters("de")[0], sample_letters("ar")[1]))
    german = client.get(OPENING, headers={"Accept-Language": "en"})
    assert '<html lang="de" dir="ltr">' in german.text
    assert "Alle Ausgaben" in german.text
    assert "Literatur" in german.text
    assert "vary" not in german.headers
    arabic = client.get("/archive/2026-11-watch-and-listen").text
    assert '<html lang="ar" dir="rtl">' in arabic
    # There is no Arabic for what stands around it.
    assert '<header class="around" lang="en" dir="ltr">' in arabic


@on_sqlite
def test_a_corrected_letter_is_shown_and_says_so(database: Database, tmp_path: Path) -> None:
    opening = sample_letters()[0]
    site = publish(database, tmp_path, opening)
    assert "corrected" not in browse(site).get(OPENING).text
    # An edition that is undone may be followed by another; here as if this one had gone out all the same.
    with database.write() as session:
        session.query(Edition).update({"state": EditionState.CANCELLED})
    corrected = replace(opening.content, html=opening.content.html.replace("brain research", "research"))
    send_out(database, tmp_path, replace(opening, content=corrected), StillClock(site.clock.now()))
    page = browse(site).get(OPENING).text
    assert "went out on 3 November 2026 and was corrected on 17 November 2026" in page
    assert "brain research has found" not in page
    feed = etree.fromstring(browse(site).get("/archive/feed.xml").content)
    (entry,) = feed.findall(f"{ATOM}entry")
    assert entry.findtext(f"{ATOM}published", "")[:10] == "2026-11-03"
    assert entry.findtext(f"{ATOM}updated", "")[:10] == "2026-11-17"


@on_sqlite
def test_a_letter_that_is_kept_out_has_no_page_and_no_link_to_one(database: Database, tmp_path: Path) -> None:
    client = browse(publish(database, tmp_path, replace(sample_letters()[0], in_archive=False)))
    for path in ("/", "/archive/", "/archive/feed.xml", "/sitemap.xml"):
        assert "2026-11-opening" not in client.get(path).text
    assert client.get(OPENING).status_code == 404


def _check_feed(content: bytes) -> etree._Element:
    feed = etree.fromstring(content)
    schema = etree.RelaxNG(etree.fromstring(ATOM_SCHEMA))
    assert schema.validate(feed), schema.error_log
    return feed


@on_sqlite
def test_the_feed_is_one(site: Site) -> None:
    answer = browse(site).get("/archive/feed.xml")
    assert answer.headers["content-type"].startswith("application/atom+xml")
    feed = _check_feed(answer.content)
    assert feed.findtext(f"{ATOM}id") == f"{BASE}/archive/"
    assert feed.xpath('//*[@rel="self"]/@href') == [f"{BASE}/archive/feed.xml"]
    entries = feed.findall(f"{ATOM}entry")
    assert [one.findtext(f"{ATOM}id") for one in entries] == [
        "tag:news.example.org,2026-11:watch-and-listen",
        "tag:news.example.org,2026-11:opening",
    ]
    assert feed.findtext(f"{ATOM}updated") == entries[0].findtext(f"{ATOM}updated")
    assert entries[1].findtext(f"{ATOM}summary") == "What brain research says about pain without injury"


@on_sqlite
def test_whatever_a_subject_has_in_it_the_feed_is_one(database: Database, tmp_path: Path) -> None:
    opening = sample_letters()[0]
    subject = '<b>Pain</b> & "more" ]]> \ufffe\uffff{{ 7 * 7 }}'
    odd = replace(opening, content=replace(opening.content, subject=subject))
    feed = _check_feed(browse(publish(database, tmp_path, odd)).get("/archive/feed.xml").content)
    assert feed.findtext(f"{ATOM}entry/{ATOM}title") == subject.replace("\ufffe\uffff", "")


@on_sqlite
def test_what_staff_write_is_text_and_never_markup(database: Database, tmp_path: Path) -> None:
    opening, odd = sample_letters()[0], "\"'><script>alert(1)</script>{{ 7 * 7 }} %(year)s"
    letter = replace(opening, theme=odd, content=replace(opening.content, subject=odd, preheader=odd))
    site = publish(database, tmp_path, letter)
    site = replace(site, offer=Offer(page=SignUpPage(title=odd, introduction=odd)))
    for path in ("/", "/archive/", OPENING):
        page = fromstring(browse(site).get(path).text)
        assert page.xpath("//script") == [], path
        assert odd in page.text_content(), path
    assert meta(page, "og:title") == meta(page, "description") == odd


@on_sqlite
@pytest.mark.parametrize("path", ["/", "/archive/", "/archive/2026", OPENING, *FOR_PROGRAMS])
def test_what_has_not_changed_is_not_sent_again(site: Site, path: str) -> None:
    client = browse(site)
    first = client.get(path)
    etag = first.headers["etag"]
    assert first.headers["cache-control"] == "public, max-age=300"
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b""), known
        assert again.headers["etag"] == etag
        assert again.headers.get("vary") == first.headers.get("vary")
    for other in ('"other"', etag[:-2] + '"', etag.strip('"')):
        assert client.get(path, headers={"If-None-Match": other}).content == first.content
    assert client.head(path).headers["etag"] == etag


@on_sqlite
def test_the_feed_is_not_sent_again_to_who_has_it_since_then(site: Site) -> None:
    client = browse(site)
    changed = client.get("/archive/feed.xml").headers["last-modified"]
    assert changed == "Tue, 17 Nov 2026 12:00:00 GMT"
    for since, status in [
        (changed, 304),
        ("Wed, 18 Nov 2026 12:00:00 GMT", 304),
        ("Tue, 17 Nov 2026 11:59:59 GMT", 200),
        ("yesterday", 200),
        ("Tue, 17 Nov 2026 12:00:00 -0000", 304),
        ("", 200),
        (f"Tue, {'9' * 20} Nov 2026 12:00:00 GMT", 200),
        (f"Tue, 17 Nov 2026 12:00:00 +{'9' * 20}", 200),
    ]:
        assert client.get("/archive/feed.xml", headers={"If-Modified-Since": since}).status_code == status, since
    # An ETag that is sent decides alone.
    both = {"If-Modified-Since": changed, "If-None-Match": '"other"'}
    assert client.get("/archive/feed.xml", headers=both).status_code == 200


@on_sqlite
def test_crawlers_may_fetch_everything_and_are_told_what_there_is(site: Site) -> None:
    assert "Disallow" not in browse(site).get("/robots.txt").text
    sitemap = etree.fromstring(browse(site).get("/sitemap.xml").content)
    places = sitemap.xpath("//*[local-name()='loc']/text()")
    assert places == [
        *(f"{BASE}{path}" for path in ("/", "/archive/", "/subscribe")),
        f"{BASE}/archive/2026-11-watch-and-listen",
        f"{BASE}{OPENING}",
    ]


@on_sqlite
def test_the_front_page_has_the_clinics_words_and_leads_to_the_newest_letter(site: Site) -> None:
    page = fromstring(browse(site).get("/").text)
    assert page.findtext(".//h1") == "Our newsletter"
    assert "One theme each month" in page.text_content()
    assert {"/subscribe", "/archive/", "/archive/2026-11-watch-and-listen"} <= set(page.xpath("//a/@href"))


@on_sqlite
def test_a_language_that_was_chosen_goes_along(site: Site) -> None:
    page = fromstring(browse(site).get("/?lang=de").text)
    assert page.xpath("//html/@lang | /@lang") == ["de"]
    assert {"/subscribe?lang=de", "/archive/?lang=de"} <= set(page.xpath("//a/@href"))
    assert page.xpath("string(//h1)") == "Unser Newsletter"
    assert page.xpath("//main/div/@lang") == []


@on_sqlite
def test_words_that_the_clinic_has_not_translated_say_which_language_they_are_in(site: Site) -> None:
    site = replace(site, offer=Offer(page=SignUpPage(title="Our newsletter", introduction="Each month.")))
    page = fromstring(browse(site).get("/?lang=de").text)
    assert page.xpath("//main/div/@lang") == ["en"]


@on_sqlite
def test_who_asks_under_another_name_gets_no_address_with_it(site: Site) -> None:
    for path in ("/archive", "/archive/", OPENING, *FOR_PROGRAMS):
        answer = browse(site).get(path, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
        assert "evil.example" not in answer.text + str(answer.headers)
