"""A browser without JavaScript: cookies, redirects, forms as HTML says them, and the page's own form-action."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx

VOID = frozenset({"input", "meta", "link", "img", "br", "hr", "wbr"})
CLICKED = frozenset({"submit", "image"})
TICKED = frozenset({"checkbox", "radio"})
MOST_REDIRECTS = 20


@dataclass
class Control:
    """One control of a form; `type` is that of the input, or select, textarea, submit (buttons, too)."""

    name: str
    type: str
    value: str = ""
    checked: bool = False
    disabled: bool = False
    label: str = ""
    """The text on a button."""
    options: list[str] = field(default_factory=list)

    @property
    def sent(self) -> bool:
        """Whether it is sent when some button of the form is pressed."""
        ticked = self.type not in TICKED or self.checked
        return bool(self.name) and not self.disabled and ticked and self.type not in {*CLICKED, "button", "reset"}


@dataclass
class Form:
    """A form of a page."""

    action: str = ""
    method: str = "get"
    controls: list[Control] = field(default_factory=list)

    def named(self, name: str) -> list[Control]:
        return [each for each in self.controls if each.name == name]

    @property
    def buttons(self) -> list[Control]:
        return [each for each in self.controls if each.type in CLICKED]

    def tick(self, name: str, value: str, *, on: bool = True) -> Form:
        """Tick (or untick) a box, or choose one of several buttons."""
        found = [each for each in self.named(name) if each.type in TICKED and each.value == value]
        assert found, f"there is no {name}={value} to tick"
        if found[0].type == "radio":
            for each in self.named(name):
                each.checked = False
        found[0].checked = on
        return self

    def untick(self, name: str, value: str) -> Form:
        return self.tick(name, value, on=False)

    def data(self, fields: Mapping[str, str], button: str | None) -> list[tuple[str, str]]:
        """Return what is sent when `fields` are typed in and a button (its name=value, text or name) is pressed."""
        for name, value in fields.items():
            controls = [each for each in self.named(name) if each.type not in CLICKED]
            assert controls, f"there is no field {name}, but {[each.name for each in self.controls]}"
            controls[0].value = value
            if controls[0].type == "radio":
                self.tick(name, value)
        sent = [(each.name, each.value) for each in self.controls if each.sent]
        pressed = self._pressed(button)
        return [*sent, (pressed.name, pressed.value)] if pressed is not None and pressed.name else sent

    def _pressed(self, button: str | None) -> Control | None:
        if button is None:
            return self.buttons[0] if self.buttons else None
        known = [each for each in self.buttons if button in {f"{each.name}={each.value}", each.label, each.name}]
        assert known, f"there is no button {button}, but {[each.label for each in self.buttons]}"
        return known[0]


class Reader(HTMLParser):
    """Takes a page apart."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self.links: dict[str, str] = {}
        self.headings: list[tuple[str, str]] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self._open: list[tuple[str, dict[str, str], list[str]]] = []
        self._form: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.tags.append((tag, known))
        if tag == "form":
            self._form = Form(known.get("action", ""), known.get("method", "get").lower())
            self.forms.append(self._form)
        if self._form is not None:
            self._control(tag, known)
        if tag not in VOID:
            self._open.append((tag, known, []))

    def _control(self, tag: str, known: dict[str, str]) -> None:
        assert self._form is not None
        name, disabled = known.get("name", ""), "disabled" in known
        if tag == "input":
            kind = known.get("type", "text")
            value = known.get("value", "on" if kind in TICKED else "")
            self._form.controls.append(Control(name, kind, value, "checked" in known, disabled))
        elif tag == "button":
            self._form.controls.append(
                Control(name, known.get("type", "submit"), known.get("value", ""), disabled=disabled)
            )
        elif tag in {"select", "textarea"}:
            self._form.controls.append(Control(name, tag, disabled=disabled))
        elif tag == "option":
            select = self._form.controls[-1]
            if not select.options or "selected" in known:
                select.value = known.get("value", "")
            select.options.append(known.get("value", ""))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        for _, _, texts in self._open:
            texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            opened, known, texts = self._open.pop()
            text = " ".join("".join(texts).split())
            if opened == "a":
                self.links[text] = known.get("href", "")
            elif opened in {"h1", "h2", "h3", "title"}:
                self.headings.append((opened, text))
            elif opened == "button" and self._form is not None:
                self._form.controls[-1].label = text
            elif opened == "textarea" and self._form is not None:
                self._form.controls[-1].value = "".join(texts)
            elif opened == "form":
                self._form = None
            if opened == tag:
                return


class Page:
    """What the browser shows; `away` is the address of another site that it was sent to instead."""

    def __init__(self, response: httpx.Response, *, away: str | None = None) -> None:
        self.response = response
        self.away = away
        self._reader = Reader()
        if "html" in response.headers.get("content-type", ""):
            self._reader.feed(response.text)
            self._reader.close()

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def path(self) -> str:
        return self.response.url.path

    @property
    def address(self) -> str:
        return str(self.response.url)

    @property
    def html(self) -> str:
        return self.response.text

    @property
    def text(self) -> str:
        return " ".join("".join(self._reader.texts).split())

    @property
    def heading(self) -> str:
        return next((text for tag, text in self._reader.headings if tag == "h1"), "")

    @property
    def title(self) -> str:
        return next((text for tag, text in self._reader.headings if tag == "title"), "")

    @property
    def forms(self) -> list[Form]:
        return self._reader.forms

    @property
    def links(self) -> dict[str, str]:
        return self._reader.links

    @property
    def tags(self) -> list[tuple[str, dict[str, str]]]:
        return self._reader.tags

    def form(self, action: str | None = None, button: str | None = None) -> Form:
        """Return the first form, or the first one that goes to a path or has a button."""
        for each in self.forms:
            fits = action is None or urlsplit(each.action).path == action
            if fits and (button is None or any(button == pressed.label for pressed in each.buttons)):
                return each
        raise AssertionError(f"no such form on {self.address} ({self.status}): {self.text[:300]}")

    def faults(self) -> Iterator[str]:
        """Say what would keep somebody from using the page: for tests of every page."""
        tags = self.tags
        if not any(tag == "html" and known.get("lang") for tag, known in tags):
            yield "no language"
        if len([tag for tag, _ in tags if tag == "h1"]) != 1:
            yield "not one h1"
        if not self.title:
            yield "no title"
        labelled = {known.get("for") for tag, known in tags if tag == "label"}
        for tag, known in tags:
            named = known.get("id") in labelled or "aria-label" in known
            if tag in {"input", "select", "textarea"} and known.get("type") not in {"hidden", "submit"} and not named:
                yield f"no label for {known.get('name')}"
            if tag == "script" or "style" in known or any(name.startswith("on") for name in known):
                yield f"script or style within the page: {tag}"
            if tag == "img" and "alt" not in known:
                yield "an image without words"


class Browser:
    """One browser at one site. Follows redirects within the site; stops where it is sent elsewhere."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.client = httpx.Client(base_url=base_url, timeout=30, follow_redirects=False)

    def close(self) -> None:
        self.client.close()

    def get(self, address: str) -> Page:
        """Go to an address of the site."""
        return self._shown(self.client.get(address), None)

    def press(self, page: Page, button: str | None = None, form: Form | None = None, **fields: str) -> Page:
        """Fill a form of the page in and send it, by default the first one by its first button."""
        chosen = form or page.form(
            button=button if any(b.label == button for f in page.forms for b in f.buttons) else None
        )
        address = urljoin(page.address, chosen.action or page.address)
        data = chosen.data(fields, button)
        allowed = form_action(page.response)
        assert allows(allowed, self.base_url, address), f"form-action {allowed} does not allow {address}"
        if chosen.method == "get":
            return self._shown(self.client.get(address, params=data), allowed)
        return self._shown(self.post(address, data), allowed)

    def post(self, address: str, data: list[tuple[str, str]] | Mapping[str, str], **headers: str) -> httpx.Response:
        """Send a form as browsers do, and return the answer as it is."""
        pairs = list(data.items()) if isinstance(data, Mapping) else data
        body = str(httpx.QueryParams(pairs)) if pairs else ""
        sent = {"Origin": self.base_url, "Content-Type": "application/x-www-form-urlencoded", **headers}
        return self.client.post(address, content=body, headers=sent)

    def _shown(self, response: httpx.Response, allowed: list[str] | None) -> Page:
        for _ in range(MOST_REDIRECTS):
            if not response.is_redirect:
                return Page(response)
            address = urljoin(str(response.url), response.headers["location"])
            if allowed is not None:
                assert allows(allowed, self.base_url, address), f"form-action {allowed} does not allow {address}"
            if origin(address) != origin(self.base_url):
                return Page(response, away=address)
            response = self.client.get(address)
        raise AssertionError("redirects without end")


def origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"


def form_action(response: httpx.Response) -> list[str]:
    """Return where the forms of a page may go."""
    for part in response.headers.get("content-security-policy", "").split(";"):
        name, *sources = part.split()
        if name == "form-action":
            return sources
    return ["*"]


def allows(sources: list[str], own: str, address: str) -> bool:
    """Say whether a form, redirects of its answer included, may go to an address (CSP Level 3 form-action)."""
    known = {origin(own) if source == "'self'" else source for source in sources}
    return "*" in known or origin(address) in known
