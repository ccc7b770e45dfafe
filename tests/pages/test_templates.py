"""What can be said of pages by reading templates: no scripts, labelled fields, one heading (AU-7, IN-8)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

import fhir_server.pages

TEMPLATES = Path(fhir_server.pages.__file__).parent / "templates"
BASE = "base.html"
ALL = sorted(path.name for path in TEMPLATES.glob("*.html"))
EXTENDS = re.compile(r"\{% extends \"([a-z_]+\.html)\" %\}")
FRAMES = {name: found[1] for name in ALL if (found := EXTENDS.match((TEMPLATES / name).read_text("utf-8")))}
"""Each template that stands in another one, with that one."""
PAGES = sorted(FRAMES.keys() - set(FRAMES.values()))
FIELDS = {"input", "select", "textarea"}
UNLABELLED = {"hidden", "submit"}


@dataclass
class Element:
    """A start tag; `inside` are the tags around it."""

    tag: str
    attributes: dict[str, str]
    inside: tuple[str, ...]


@dataclass
class Template(HTMLParser):
    """A template read as HTML; what Jinja puts in stands as it is written between « and »."""

    elements: list[Element] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}, tuple(self.open)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def all(self, *tags: str) -> list[Element]:
        return [each for each in self.elements if each.tag in tags]


def source(name: str) -> str:
    return (TEMPLATES / name).read_text("utf-8")


def parsed(name: str) -> Template:
    text = re.sub(r"\{#.*?#\}", "", source(name), flags=re.DOTALL)
    text = re.sub(r"\{%.*?%\}", "", text, flags=re.DOTALL)
    text = re.sub(r"\{\{-?\s*(.*?)\s*-?\}\}", lambda match: "«" + re.sub(r"[\s\"'<>]", "", match[1]) + "»", text)
    made = Template()
    made.feed(text)
    made.close()
    return made


@pytest.mark.parametrize("name", ALL)
def test_security_AU7_no_template_has_scripts_or_styles_in_it(name: str):
    template = parsed(name)
    assert template.all("script", "style", "iframe", "object", "embed", "base") == []
    for element in template.elements:
        assert not [each for each in element.attributes if each.startswith("on") or each == "style"], element
        assert not any(value.lower().startswith("javascript:") for value in element.attributes.values()), element


@pytest.mark.parametrize("name", ALL)
def test_security_IN8_no_template_switches_escaping_off(name: str):
    assert "|safe" not in re.sub(r"\s", "", source(name))
    assert "autoescape" not in source(name)


@pytest.mark.parametrize("name", ALL)
def test_smart_15_nothing_is_fetched_from_elsewhere(name: str):
    for element in parsed(name).elements:
        for attribute in ("src", "href", "srcset", "action", "formaction"):
            value = element.attributes.get(attribute, "")
            if element.tag != "a":
                assert not re.match(r"(?:[a-z]+:)?//", value), element


@pytest.mark.parametrize("name", ALL)
def test_smart_15_every_field_has_a_label(name: str):
    template = parsed(name)
    labels = {each.attributes["for"] for each in template.all("label") if "for" in each.attributes}
    for element in template.all(*FIELDS):
        if element.attributes.get("type") in UNLABELLED:
            continue
        named = (
            element.attributes.get("id") in labels or "aria-label" in element.attributes or "label" in element.inside
        )
        assert named, f"{name}: {element.tag} {element.attributes.get('name')} has no label"


@pytest.mark.parametrize("name", ALL)
def test_smart_15_pictures_have_words_and_tables_heads(name: str):
    template = parsed(name)
    assert [each for each in template.all("img") if "alt" not in each.attributes] == []
    assert [each for each in template.all("th") if "scope" not in each.attributes] == []


@pytest.mark.parametrize("name", PAGES)
def test_smart_15_a_page_has_a_title_which_is_its_one_heading(name: str):
    frame = name
    while frame != BASE:
        frame = FRAMES[frame]
        assert frame == BASE or "<h1" not in source(frame)
    assert re.search(r"\{% block title %\}.+?\{% endblock %\}", source(name), re.DOTALL)
    assert parsed(name).all("h1", "html", "head", "title") == []


def test_smart_15_the_frame_of_pages_has_a_language_a_width_and_one_heading():
    frame = parsed(BASE)
    assert frame.all("html")[0].attributes["lang"] == "en"
    assert any(each.attributes.get("name") == "viewport" for each in frame.all("meta"))
    assert len(frame.all("h1")) == 1
    assert len(frame.all("title")) == 1
    assert len(frame.all("main")) == 1


@pytest.mark.parametrize("name", ALL)
def test_security_AU6_every_form_that_is_posted_has_a_token(name: str):
    text = source(name)
    posts = re.findall(r"<form\b[^>]*method=\"?post\"?.*?</form>", text, re.DOTALL | re.IGNORECASE)
    for form in posts:
        assert re.search(r"\btoken\(", form) or "csrf_field" in form, f"{name}: a form without token"


@pytest.mark.parametrize("name", ALL)
def test_smart_15_ids_stand_once(name: str):
    ids = [each.attributes["id"] for each in parsed(name).elements if "id" in each.attributes]
    assert sorted(set(ids)) == sorted(ids)
