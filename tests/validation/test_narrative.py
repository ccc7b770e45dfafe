"""Narrative is an allow-list of XHTML (FHIR R4 narrative.html, txt-1, txt-2; fhir_rest §18)."""

from __future__ import annotations

import pytest

from fhir_server.validation.narrative import ELEMENTS, narrative_fault
from fhir_server.validation.validate import resource_issues


def div(content: str) -> str:
    """Return a narrative with some content."""
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{content}</div>'


@pytest.mark.parametrize(
    "content",
    [
        "text",
        "<p>a <b>bold</b> <i>word</i><br/></p>",
        '<table class="grid" border="1"><tr><td colspan="2" style="color: gray">x</td></tr></table>',
        '<a href="http://example.org/x">x</a>',
        '<a href="Patient/1">x</a><a href="#x" name="y">z</a><a href="mailto:a@example.org">m</a>',
        '<img src="pkb.png" alt="x"/>',
        '<img src="#photo" alt="x"/>',
        '<img src="data:image/png;base64,AAAA" alt="x"/>',
        "non&nbsp;breaking &copy; &amp; &lt;script&gt; &#169;",
        '<p xml:lang="de" lang="de">Größe</p>',
        "<!-- a comment -->x",
        "<ul><li>a</li></ul><ol start='2'><li>b</li></ol>",
    ],
)
def test_txt_1_formatting_links_and_images_are_accepted(content):
    assert narrative_fault(div(content)) is None


@pytest.mark.parametrize(
    "content",
    [
        "<script>alert(1)</script>",
        "x<script/>",
        "<iframe src='x'/>",
        "<object data='x'/>",
        "<embed src='x'/>",
        "<form><input/></form>",
        "<style>p {}</style>",
        "<link rel='stylesheet' href='x'/>",
        "<base href='http://x'/>",
        "<meta/>",
        "<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>",
        "<math xmlns='http://www.w3.org/1998/Math/MathML'/>",
        "<p xmlns=''>x</p>",
        "<SCRIPT>alert(1)</SCRIPT>",
        "<p onclick='x()'>x</p>",
        "<img src='x.png' onerror='x()'/>",
        "<p ONCLICK='x()'>x</p>",
        "<a href='javascript:x()'>x</a>",
        "<a href='JavaScript:x()'>x</a>",
        "<a href=' javascript:x()'>x</a>",
        "<a href='java&#10;script:x()'>x</a>",
        "<a href='&#1;javascript:x()'>x</a>",
        "<a href='java&#x09;script&colon;x()'>x</a>",
        "<a href='vbscript:x()'>x</a>",
        "<a href='data:text/html,x'>x</a>",
        "<q cite='javascript:x()'>x</q>",
        "<img src='http://example.org/track.png'/>",
        "<img src='//example.org/track.png'/>",
        "<img src='\\\\example.org/track.png'/>",
        "<img src='data:image/svg+xml,x'/>",
        "<img src='x.png' srcset='http://example.org/x'/>",
        "<table background='http://example.org/x'/>",
        "<p style='background: url(http://example.org/x)'>x</p>",
        "<p style='width: expression(x)'>x</p>",
        "<p style='width: e\\78pression(x)'>x</p>",
        "<p style='behavior: x'>x</p>",
        "<a xmlns:x='http://www.w3.org/1999/xlink' x:href='javascript:x()'>x</a>",
        "<p>not closed",
        "&unknownentity;",
        "<?xml-stylesheet href='x'?>x",
        "<p",
    ],
)
def test_txt_1_whatever_runs_or_loads_is_refused(content):
    assert narrative_fault(div(content)) is not None


@pytest.mark.parametrize("content", ["", "  \n", "<p/>", "<p> &#160; </p>".replace("&#160;", "")])
def test_txt_2_a_narrative_has_some_content(content):
    assert "content" in (narrative_fault(div(content)) or "")


@pytest.mark.parametrize(
    "whole",
    [
        "text",
        "<p xmlns='http://www.w3.org/1999/xhtml'>x</p>",
        "<div>x</div>",
        div("x") + div("y"),
        "<!DOCTYPE div [<!ENTITY a 'x'>]>" + div("&a;"),
        "<!DOCTYPE div SYSTEM 'file:///etc/passwd'>" + div("x"),
        "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]>" + div("&b;"),
    ],
)
def test_a_narrative_is_one_div_of_xhtml_and_defines_nothing(whole):
    assert narrative_fault(whole) is not None


def test_every_basic_element_is_accepted():
    for name in sorted(ELEMENTS - {"div"}):
        assert narrative_fault(div(f"<{name}/>text")) is None


def test_deep_and_long_narratives_are_read_once():
    assert narrative_fault(div("<p>" * 100_000 + "x" + "</p>" * 100_000)) is None
    assert narrative_fault(div("&" * 100_000)) is not None


def test_a_narrative_at_fault_is_a_broken_rule_and_its_text_is_not_told():
    text = {"status": "generated", "div": div("<script>Wilhelmina</script>")}
    (issue,) = resource_issues({"resourceType": "Patient", "text": text})
    assert (issue.code, issue.expression) == ("invariant", "Patient.text.div")
    assert "Wilhelmina" not in issue.diagnostics
