"""What a person is asked to agree to, and what of it was ticked (`smart.md` §15 consent, C8). Pure.

Every FHIR scope becomes up to three parts: reading, changing, deleting. Each can be unticked alone. A scope of a type
with categories can be narrowed to some of them; then the answer has granular scopes in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from capability.smart import CATEGORIES, Category
from fhir_server.access import RESOURCE_TYPES
from fhir_server.oauth.deciding import covers, fhir_scopes
from fhir_server.oauth.scopes import (
    ANY_TYPE,
    LETTERS,
    LONGEST_GRANT,
    MOST_GRANULAR,
    Scope,
    intersect,
    parse_scope,
)
from fhir_server.pages.plain_scopes import LETTERS as LETTERS_OF
from fhir_server.pages.plain_scopes import Kind

IDENTITY: Final = "identity"
STAY: Final = "stay"
IDENTITY_WORDS: Final = frozenset({"openid", "fhirUser", "profile"})
STAY_WORDS: Final = frozenset({"offline_access", "online_access"})
CONTEXT_WORDS: Final = frozenset({"launch", "launch/patient", "launch/encounter"})


class Unticked(Exception):
    """Too little was ticked; the message is for the person, and says what is missing."""


@dataclass(frozen=True, slots=True)
class Part:
    """One box on the page; `value` is what it sends, `scope` what of the asked scope it stands for."""

    value: str
    number: int
    kind: Kind
    scope: Scope
    required: bool
    categories: tuple[Category, ...]
    """By which it can be narrowed; shown once for each scope."""


def parts_of(words: Sequence[str], required: Collection[str]) -> tuple[Part, ...]:
    """Return the boxes for the FHIR scopes among the words, in their order; those of `required` the app needs."""
    scopes = [parse_scope(word, RESOURCE_TYPES) for word in words]
    needed = fhir_scopes(tuple(required))
    widest = {each.level for each in scopes if each is not None and each.resource_type == ANY_TYPE}
    found: list[Part] = []
    for number, scope in enumerate(scopes):
        if scope is None:
            continue
        narrows = not scope.filter and scope.level not in widest  # beside `*` of the level it would narrow nothing
        categories = CATEGORIES.get(scope.resource_type, ()) if narrows else ()
        for kind, letters in LETTERS_OF.items():
            kept = "".join(letter for letter in scope.letters if letter in letters)
            if kept:
                part = replace(scope, letters=kept)
                is_needed = bool(intersect((part,), needed))
                found.append(Part(f"{number}.{kind}", number, kind, part, is_needed, categories))
                categories = ()
    return tuple(found)


def agreed(
    words: Sequence[str], required: Collection[str], ticked: Collection[str], narrowed: Mapping[int, Collection[str]]
) -> tuple[str, ...]:
    """Return the scopes that a person agreed to, in the order asked; always within `words`.

    `ticked` are the values of boxes, `narrowed` the codes of categories by the number of the scope; what is not among
    those shown counts for nothing. Raises Unticked when a part that the app needs is missing, when nothing is left, and
    for more than a token can hold.
    """
    parts = parts_of(words, required)
    _check_needed(words, required, ticked, parts)
    kept: dict[str, None] = {}
    for number, word in enumerate(words):
        own = [part for part in parts if part.number == number]
        if own:
            kept.update(dict.fromkeys(_agreed_scopes(word, own, ticked, narrowed.get(number, ()))))
        elif word in CONTEXT_WORDS or _boxes([word]) <= set(ticked):
            kept[word] = None
    if all(word in CONTEXT_WORDS | STAY_WORDS for word in kept):
        raise Unticked("Tick what the app may do, or deny.")
    if len(" ".join(kept)) > LONGEST_GRANT or sum("?" in word for word in kept) > MOST_GRANULAR:
        raise Unticked("These are too many kinds for one app. Tick fewer of them, or all of a line.")
    return tuple(kept)


def _check_needed(
    words: Sequence[str], required: Collection[str], ticked: Collection[str], parts: Iterable[Part]
) -> None:
    """Raise Unticked where the app would not get what it needs of what is offered; narrowing it is allowed (C8)."""
    offered = [word for word in required if covers(" ".join(words), (word,))]
    kept = [str(part.scope) for part in parts if part.value in ticked]
    fhir = [word for word in offered if parse_scope(word, RESOURCE_TYPES) is not None]
    if any(box not in ticked for box in _boxes(offered)) or not all(_is_within(word, kept) for word in fhir):
        raise Unticked("The app does not work without what is marked as needed. Tick it, or deny.")


def _is_within(word: str, kept: Sequence[str]) -> bool:
    """Say whether scopes together hold one: its letters may come from several boxes."""
    scope, scopes = fhir_scopes((word,))[0], fhir_scopes(kept)
    letters = {letter for each in intersect((scope,), scopes) for letter in each.letters}
    return letters == set(scope.letters)


def _boxes(words: Iterable[str]) -> set[str]:
    """Return the boxes that stand for scopes other than FHIR's."""
    given = set(words)
    return {box for box, own in ((IDENTITY, IDENTITY_WORDS), (STAY, STAY_WORDS)) if own & given}


def _agreed_scopes(word: str, own: Sequence[Part], ticked: Collection[str], narrowed: Collection[str]) -> Iterable[str]:
    letters = {letter for part in own if part.value in ticked for letter in part.scope.letters}
    if not letters:
        return
    scope = replace(own[0].scope, letters="".join(letter for letter in LETTERS if letter in letters))
    categories = [category for category in own[0].categories if category.code in narrowed]
    if categories:
        yield from (str(replace(scope, filter=category.filter)) for category in categories)
    else:
        yield word if len(letters) == sum(len(part.scope.letters) for part in own) else str(scope)
