"""Is everything written, and does the inbox show it well?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from newsletter.campaigns.markdown import to_words
from newsletter.campaigns.model import Article
from newsletter.preflight.model import Draft, Finding, Level
from newsletter.rendering.model import LinkTag

SUBJECT_LENGTH = 60
PREHEADER_LENGTHS = range(30, 111)
PLACEHOLDERS = re.compile(r"replace\s+this\s+text|lorem ipsum|\bTODO\b|\bTBC\b|\bXXX\b", re.IGNORECASE)

HTML_TAG = re.compile(r"</?[a-z][a-z0-9]*(\s[^<>]*)?/?>|<!--", re.IGNORECASE)


def _texts(draft: Draft) -> Iterator[tuple[str, str]]:
    yield draft.place, to_words(draft.mailing.opening or "")
    for item in draft.mailing.items:
        if isinstance(item, Article):
            yield item.name, to_words(item.body)
        else:
            yield draft.place, to_words(item.summary or "")


def _left_over(draft: Draft) -> Iterator[tuple[str, str, str]]:
    """What nobody has written yet: its place, the part of the mail, and the words that stand for it."""
    mailing = draft.mailing
    if found := _placeholder(mailing.subject):
        yield f"{draft.campaign.file}:{mailing.subject_line} ({mailing.name})", "subject", found[0]
    if found := _placeholder(mailing.preheader or ""):
        yield draft.place, "preheader", found[0]
    places = list(_left_over_in_articles(draft))
    if found := _placeholder(_words_of_campaign(draft)):
        places.append((draft.place, found[0]))
    # Whatever else a reader would see, of an author, a picture or the clinic's templates.
    if not places and (found := _placeholder(draft.mail.text)):
        places.append((draft.place, found[0]))
    for place, words in places:
        yield place, "text", words


def _left_over_in_articles(draft: Draft) -> Iterator[tuple[str, str]]:
    for item in draft.mailing.items:
        if not isinstance(item, Article):
            continue
        if found := _placeholder("\n".join([item.title, *item.references])):
            yield item.name, found[0]
        if found := _placeholder(item.body):
            yield f"{item.name}:{item.body_line + found[1]}", found[0]


def _words_of_campaign(draft: Draft) -> str:
    """What readers see that stands in campaign.yaml, but for subject and preheader."""
    items = [item for item in draft.mailing.items if not isinstance(item, Article)]
    parts = [
        draft.campaign.theme,
        draft.mailing.opening,
        *(part for item in items for part in (item.title, item.summary)),
    ]
    return "\n".join(part for part in parts if part)


def _placeholder(text: str) -> tuple[str, int] | None:
    """The first words in a text that stand for others, and how many lines there are before them."""
    found = PLACEHOLDERS.search(text)
    return (" ".join(found[0].split()), text.count("\n", 0, found.start())) if found else None


def check(draft: Draft) -> Iterator[Finding]:
    """Subject, preheader, month, what was left in the text, who signs, and words that would act as tags."""
    mailing = draft.mailing

    def finding(level: Level, problem: str, remedy: str, place: str = draft.place) -> Finding:
        return Finding(level, "content", place, problem, remedy)

    month = f"{draft.campaign.year}-{draft.campaign.month:02d}"
    send_at = f"{mailing.send_at.astimezone(draft.clinic.zone):%Y-%m-%d}"
    if not send_at.startswith(month):
        yield finding(Level.WARN, f"it would go out on {send_at}, outside of its month, {month}.", "Is the date right?")
    if (named := re.match(r"\d{4}-\d\d", draft.campaign.id)) and named[0] != month:
        yield finding(
            Level.WARN, f"the folder is named for {named[0]}, but `month` is {month}.", "Correct one of the two."
        )
    if re.match(r"(re|fwd?|aw|tr)\s*:", mailing.subject, re.IGNORECASE):
        yield finding(Level.STOP, "the subject pretends to be an answer.", "Remove `Re:` or `Fwd:`.")
    if len(mailing.subject) > SUBJECT_LENGTH:
        yield finding(
            Level.WARN,
            f"the subject has {len(mailing.subject)} characters; phones cut it at about 50.",
            "Put the main words first, or make it shorter.",
        )
    letters = [c for c in mailing.subject if c.isalpha()]
    if len(letters) > 8 and all(c.isupper() for c in letters):
        yield finding(Level.WARN, "the subject is all capitals.", "Write it as a sentence; capitals look like spam.")
    if mailing.preheader is None:
        yield finding(
            Level.NOTE,
            "there is no preheader; inboxes will show the first words.",
            "Add `preheader:`, 40 to 90 characters.",
        )
    elif len(mailing.preheader) not in PREHEADER_LENGTHS:
        yield finding(Level.NOTE, f"the preheader has {len(mailing.preheader)} characters.", "40 to 90 read best.")
    for place, where, words in _left_over(draft):
        yield finding(Level.STOP, f"`{words}` is still in the {where}.", "Write the real words.", place)
    for place, words in _texts(draft):
        if found := HTML_TAG.search(words):
            yield finding(Level.WARN, f"readers would see `{found[0][:40]}` as it stands.", "Take HTML out.", place)
    for tag in LinkTag:
        if tag.value in f"{mailing}":
            yield finding(Level.STOP, f"the text holds `{tag.value}`, which stands for a token.", "Remove it.")
    language = draft.campaign.language
    if language.partition("-")[0].lower() != "en":
        yield finding(
            Level.WARN,
            f"it is written in `{language}`, and the letter's own words (By, Listen, Unsubscribe) are still English.",
            "Write them in your language in templates/email.",
        )
    for item in mailing.items:
        if isinstance(item, Article):
            if item.author is None:
                yield finding(Level.WARN, "nobody signs the article.", "Add `author:` at its head.", item.name)
            if item.reviewed_by is None:
                yield finding(
                    Level.NOTE, "no reviewer is named.", "Add `reviewed_by:` when somebody checked it.", item.name
                )
            if item.review_by and item.review_by < draft.mailing.send_at.astimezone(draft.clinic.zone).date():
                yield finding(
                    Level.STOP,
                    f"the article should have been read again by {item.review_by}.",
                    "Have it checked, and set a new `review_by`.",
                    item.name,
                )
