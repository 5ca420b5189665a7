"""Commands for beginning a month and bringing in articles: new, import-article."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newsletter.cli.console import Json, load_settings, say, say_json

if TYPE_CHECKING:
    from newsletter.campaigns.article_import import ImportedArticle
    from newsletter.campaigns.model import AudienceRule
    from newsletter.campaigns.writer import Workplace, WrittenArticle
    from newsletter.settings import Settings


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(new)
    app.command()(import_article)


def new(
    month: Annotated[str, typer.Argument(help="Year and month: 2026-12.")],
    theme: Annotated[str, typer.Argument(help='What the month is about, in quotes: "Better sleep".')],
    json: Json = False,
) -> None:
    """Begin a month: a folder with campaign.yaml and a first article to be written.

    The last month before it gives its audience, language, mailings and send rules.
    """
    from newsletter.campaigns.catalogue import list_campaigns
    from newsletter.campaigns.writer import PLACEHOLDER, new_campaign
    from newsletter.clock import SystemClock
    from newsletter.wiring import read_named_campaign

    settings = load_settings()
    there = list_campaigns(settings.workspace)
    earlier = [folder for folder in there if folder.name[:7] < month]
    made = new_campaign(
        settings.workspace,
        month,
        theme,
        _workplace(settings),
        language=settings.clinic.language,
        like=earlier[-1] if earlier else None,
    )
    present = f"{SystemClock().now().astimezone(settings.clinic.zone):%Y-%m}"
    notes = [*made.notes, *_doubts_about_month(made.folder.name, [folder.name for folder in there], present)]
    audience = read_named_campaign(settings, made.folder.name).audience
    if json:
        say_json(
            {
                "folder": made.folder,
                "like": made.like and made.like.name,
                "audience": vars(audience),
                "notes": notes,
            }
        )
        return
    say(f"Made {made.folder.relative_to(settings.workspace)}.")
    if made.like:
        say(f"Audience, language, mailings and send rules are those of {made.like.name}.")
    file = f"{made.folder.relative_to(settings.workspace)}/campaign.yaml"
    say(f"It goes to {_audience_in_words(audience)}; change `audience` in {file}.")
    for note in notes:
        say(f"Look: {note}")
    say(f"Now write where it says “{PLACEHOLDER}”.")
    say(f"A text from elsewhere comes in with: newsletter import-article FILE --campaign {made.folder.name}")


def _doubts_about_month(made: str, there: list[str], present: str) -> list[str]:
    """What is odd about the month of a new campaign: it has another one already, or it is past."""
    month = made[:7]
    doubts = []
    if others := [name for name in there if name.startswith(month)]:
        doubts.append(
            f"{month} has a campaign already: {', '.join(others)}. In commands, write the whole name of the one you "
            f"mean: newsletter check {made}"
        )
    if month < present:
        doubts.append(
            f"{month} lies in the past, and so do its send times. Correct `month`, or give each a later date."
        )
    return doubts


def _audience_in_words(rule: AudienceRule) -> str:
    words = f"readers of: {', '.join(rule.topics)}" if rule.topics else "everybody"
    if rule.joined_before:
        words += f", who joined before {rule.joined_before}"
    if rule.not_mailed_within:
        words += f", who had no mail for {rule.not_mailed_within} days"
    return words + (", whatever language they read" if rule.any_language else "")


def import_article(
    file: Annotated[Path, typer.Argument(help="A .txt, .md or .docx file.")],
    campaign: Annotated[
        str | None,
        typer.Option("--campaign", "-c", help="The campaign's folder, or the beginning of its name: 2026-11."),
    ] = None,
    mailing: Annotated[
        str | None, typer.Option("--mailing", "-m", help="Which mailing it goes into; the first when absent.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an article of the same title.")] = False,
    json: Json = False,
) -> None:
    """Make an article of a text from elsewhere: title, text, references and who signs it.

    Prints what was understood and every doubt. Without --campaign it goes into the campaign when there is only one;
    when there are several, nothing is written and the whole article is shown.
    """
    from newsletter.campaigns.article_import import read_article_file
    from newsletter.campaigns.catalogue import find_campaign, list_campaigns
    from newsletter.campaigns.writer import write_article

    article = read_article_file(_read(file), file.name)
    settings = load_settings()
    there = list_campaigns(settings.workspace)
    folder = find_campaign(settings.workspace, campaign) if campaign else there[0] if len(there) == 1 else None
    if folder is None:
        names = ", ".join(f.name for f in there) or "none yet; `newsletter new` begins one"
        hint = f"Nothing was written: say which campaign it is for with --campaign. Campaigns: {names}."
        if json:
            say_json({**_as_json(article), "written": None, "hint": hint})
        else:
            _show(article)
            say(f"\n{article.body}")
            say(hint)
        return
    written = write_article(folder, article, _workplace(settings), mailing=mailing, replace=replace)
    if json:
        say_json({**_as_json(article), "written": {**vars(written), "campaign": folder.name}})
        return
    _show(article)
    _show_written(written, settings, folder)


def _read(file: Path) -> bytes:
    from newsletter.campaigns.article_sources import FILE_LIMIT
    from newsletter.errors import ImportRefused

    try:
        # One byte more than is allowed is enough to be refused; nobody waits for a film to be read.
        with file.open("rb") as opened:
            return opened.read(FILE_LIMIT + 1)
    except IsADirectoryError:
        raise ImportRefused(f"{file} is a folder. Name the file in it.") from None
    except OSError as error:
        raise ImportRefused(f"{file} cannot be read ({error.strerror}). Check its name and where it lies.") from None


def _workplace(settings: Settings) -> Workplace:
    from newsletter.campaigns.send_times import read_send_time
    from newsletter.campaigns.writer import Workplace
    from newsletter.errors import Fault, SettingsFaults
    from newsletter.settings import WORKSPACE_FILE
    from newsletter.subscribers.topics import read_topics

    try:
        rule = read_send_time(settings.sending.rule)
    except ValueError as error:
        raise SettingsFaults([Fault(WORKSPACE_FILE, 0, "sending.rule", *str(error).split(" | "))]) from None
    return Workplace(settings.clinic.zone, rule, tuple(read_topics(settings.workspace)))


def _as_json(article: ImportedArticle) -> dict[str, Any]:
    return {**vars(article), "author": article.author and vars(article.author)}


def _show(article: ImportedArticle) -> None:
    blocks = [block for block in article.body.strip().split("\n\n") if block]
    headings = [block.lstrip("# ") for block in blocks if block.startswith("#")]
    say(f"Title:      {article.title}")
    count = len(article.body.split())
    say(f"Text:       {count} {'word' if count == 1 else 'words'}; paragraphs and lists: {len(blocks) - len(headings)}")
    if headings:
        say(f"Headings:   {' · '.join(headings)}")
    for at, reference in enumerate(article.references):
        say(f"{'References:' if at == 0 else '':<11} {reference}")
    if article.author:
        say(f"Author:     {article.author.name}{f', {article.author.role}' if article.author.role else ''}")
        for credential in article.author.credentials:
            say(f"            {credential}")
    for at, doubt in enumerate(article.unsure):
        say(f"{'Look at:' if at == 0 else '':<11} {doubt}")


def _show_written(written: WrittenArticle, settings: Settings, folder: Path) -> None:
    say(f"\nWrote {written.file.relative_to(settings.workspace)} into the mailing `{written.mailing}`.")
    if written.author_id:
        where = "was added to" if written.author_is_new else "is in"
        say(f"The author {where} campaigns/authors.yaml as `{written.author_id}`.")
    for note in written.notes:
        say(f"Look: {note}")
    say(f"To see it: newsletter render {folder.name} --output preview")
