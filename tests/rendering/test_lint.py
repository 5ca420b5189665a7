"""Each rule of the lint, broken once, is found in the template and on the line where it was broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from newsletter.errors import TemplateFault
from newsletter.rendering.lint import check_mjml, remove_marks
from newsletter.rendering.templates import FOLDER, mark
from newsletter.settings import read_settings
from newsletter.wiring import read_named_campaign, render_mailing

HEAD = "<mj-head><mj-title>t</mj-title><mj-preview>p</mj-preview>{head}</mj-head>"
LETTER = (
    '<mjml lang="en" dir="ltr">\n' + HEAD + "\n<mj-body>\n<mj-section><mj-column>\n{body}\n</mj-column></mj-section>\n"
    "</mj-body></mjml>"
)


def broken_rules(body: str, head: str = "") -> set[str]:
    return {f.field for f in check_mjml(mark(LETTER.format(body=body, head=head), "a.mjml.j2"))}


def test_a_plain_letter_breaks_no_rule() -> None:
    assert broken_rules('<mj-text padding="0px 24px">Text &amp; more <b>a</b> <i>b</i><br /></mj-text>') == set()


@pytest.mark.parametrize(
    ("rule", "body"),
    [
        ("L1", '<mj-text padding="0 24px">x</mj-text>'),
        ("L1", '<mj-text padding="5%">x</mj-text>'),
        ("L1", '<mj-button inner-padding="1em">x</mj-button>'),
        ("L1", '<mj-image width="200" alt="x" src="https://a.example/x.png" />'),
        ("L2", '<mj-text font-family="a,\nb">x</mj-text>'),
        ("L2", '<mj-text><p style="margin:0;\tcolor:#000000">x</p></mj-text>'),
        ("L2", '<mj-image alt="a\\b" src="https://a.example/x.png" />'),
        ("L3", '<mj-image alt="a\u00a0b" src="https://a.example/x.png" />'),
        ("L3", '<mj-image alt="नमस्ते" src="https://a.example/x.png" />'),
        ("L3", '<mj-image alt="e\u0301" src="https://a.example/x.png" />'),
        ("L4", "<mj-text>é > b</mj-text>"),
        ("L5", "<mj-text><a href='https://a.example'>a</a>\n<a href='https://b.example'>b</a></mj-text>"),
        ("L6", "<!-- a note --><mj-text>x</mj-text>"),
        ("L7", "<mj-include path='x' />"),
        ("L7", "<mj-carousel></mj-carousel>"),
        ("L7", "<mj-text><script>x</script></mj-text>"),
        ("L7", "<mj-text><a href='https://a.example' onclick='x'>a</a></mj-text>"),
        ("L7", "<mj-text><a href=' JavaScript:x'>a</a></mj-text>"),
        ("L9", "<mj-image src='https://a.example/x.png' />"),
        ("L9", "<mj-social><mj-social-element>x</mj-social-element></mj-social>"),
        ("L10", "<mj-section></mj-section>"),
        ("L10", "<mj-txet>x</mj-txet>"),
        ("L10", "words between the elements"),
        ("L12", "<mj-text>x"),
        ("L12", "<mj-text color=red>x</mj-text>"),
        ("L12", "<mj-text>a & b</mj-text>"),
        ("L12", "<mj-text>3 < 5</mj-text>"),
        ("L13", "<mj-text>" + "<div>" * 9000 + "</div>" * 9000 + "</mj-text>"),
        ("L14", '<mj-text color="#fff">x</mj-text>'),
        ("L14", '<mj-text><p style="color:#abc;">x</p></mj-text>'),
    ],
)
def test_each_rule_is_found(rule: str, body: str) -> None:
    assert rule in broken_rules(body)


def test_classes_that_set_the_same_key_are_found() -> None:
    head = '<mj-attributes><mj-class name="a" color="#000000" /><mj-class name="b" color="#ffffff" /></mj-attributes>'
    assert broken_rules('<mj-text mj-class="a b">x</mj-text>', head) == {"L8"}


def test_a_letter_without_language_title_or_preheader_is_found() -> None:
    assert [f.field for f in check_mjml("<mjml><mj-body></mj-body></mjml>")] == ["L11", "L11", "L11"]


def test_conditional_comments_stay() -> None:
    assert (
        broken_rules("<mj-text><!--[if mso]><b>x</b><![endif]--><!--[if !mso]><!--><i>y</i><!--<![endif]--></mj-text>")
        == set()
    )


def test_marks_name_every_tag_and_leave_without_a_trace() -> None:
    source = '<a>\n{% if a < b %}<b x="{{ "<c>" }}">{# <d> #}\n</b>{% endif %}</a>'
    marked = mark(source, "x.mjml.j2")
    assert marked.count("data-at=") == 2
    assert 'data-at="x.mjml.j2:2"' in marked
    assert remove_marks(marked) == source


def break_template(workspace: Path, name: str, old: str, new: str) -> int:
    """Change a template of the workspace once; returns the line of the change."""
    path = workspace / FOLDER / name
    source = path.read_text()
    assert old in source
    path.write_text(source.replace(old, new, 1))
    return source[: source.index(old)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('padding="2px 40px 0px 40px"', 'padding="2px 40px 0 40px"', "L1"),
        ("{{ block.by }}", "{{ block.bye }}", "names `bye`, a value that is not there"),
        ("{{ block.by }}", "{% include 'blocks/mine.mjml.j2' %}", "includes templates/email/blocks/mine.mjml.j2"),
        ("{{ block.by }}", "{% include 'blocks/video.mjml.j2' %}", "includes itself"),
        ("{{ block.by }}", "{{ block.by | uper }}", "No filter named 'uper'"),
        ("{{ block.by }}", "{{ block.by ", "cannot be read"),
        ("{{ block.by }}", "{{ block.__class__.__mro__ }}", "unsafe"),
        ("{{ block.by }}", "{{ 1 / 0 }}", "division"),
        ("{{ block.by }}", "a & b", "L12"),
        ("{{ block.by }}</mj-text>", "{{ block.by }}", "L12"),
    ],
)
def test_a_template_that_a_clinic_broke_is_named_with_its_line(workspace: Path, old: str, new: str, words: str) -> None:
    line = break_template(workspace, "blocks/video.mjml.j2", old, new)
    settings = read_settings(workspace)
    campaign = read_named_campaign(settings, "2026-11")
    with pytest.raises(TemplateFault) as refused:
        render_mailing(settings, campaign, campaign.mailings[1])
    fault = refused.value.faults[0]
    assert fault.file == "templates/email/blocks/video.mjml.j2"
    assert words in str(fault)
    assert fault.line == line


@pytest.mark.parametrize("name", ["layouts/letter.mjml.j2", "layouts/letter.txt.j2", "blocks/footer.mjml.j2"])
@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_a_template_in_another_encoding_is_named(workspace: Path, name: str, encoding: str) -> None:
    path = workspace / FOLDER / name
    path.write_bytes(f"{{# Grüße #}}{path.read_text('utf-8')}".encode(encoding))
    settings = read_settings(workspace)
    campaign = read_named_campaign(settings, "2026-11")
    with pytest.raises(TemplateFault, match=f"^templates/email/{name}: cannot be read: it is not written in UTF-8"):
        render_mailing(settings, campaign, campaign.mailings[0])


def test_what_the_renderer_alone_refuses_is_placed_in_the_template(workspace: Path) -> None:
    line = break_template(
        workspace, "layouts/letter.mjml.j2", "<mj-breakpoint", "<mj-title>x<b>y</b></mj-title><mj-breakpoint"
    )
    settings = read_settings(workspace)
    campaign = read_named_campaign(settings, "2026-11")
    with pytest.raises(TemplateFault) as refused:
        render_mailing(settings, campaign, campaign.mailings[0])
    (fault,) = refused.value.faults
    assert (fault.file, fault.line) == ("templates/email/layouts/letter.mjml.j2", line)


def test_an_empty_layout_is_called_empty(workspace: Path) -> None:
    (workspace / FOLDER / "layouts" / "letter.mjml.j2").write_text("")
    settings = read_settings(workspace)
    campaign = read_named_campaign(settings, "2026-11")
    with pytest.raises(TemplateFault, match=r"letter\.mjml\.j2: L12: is empty"):
        render_mailing(settings, campaign, campaign.mailings[0])


def test_a_template_that_is_gone_is_named(workspace: Path) -> None:
    (workspace / FOLDER / "blocks" / "footer.mjml.j2").unlink()
    settings = read_settings(workspace)
    campaign = read_named_campaign(settings, "2026-11")
    with pytest.raises(TemplateFault, match=r"includes templates/email/blocks/footer\.mjml\.j2, which is not there"):
        render_mailing(settings, campaign, campaign.mailings[0])


def test_a_template_cannot_run_for_ever(workspace: Path) -> None:
    break_template(workspace, "blocks/video.mjml.j2", "{{ block.by }}", "{% for i in range(1000000000) %}x{% endfor %}")
    settings = read_settings(workspace)
    campaign = read_named_campaign(settings, "2026-11")
    with pytest.raises(TemplateFault, match="video"):
        render_mailing(settings, campaign, campaign.mailings[1])
