"""What only the bodies say: texts and systems of tokens, and the order by tokens and references (decision 14)."""

from __future__ import annotations

import sys
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import bindparam, select

from capability.elements import RESOURCE_TYPES
from capability.search_parameters import find, search_parameters
from storage.engine import Database
from storage.projection.paths import compile_paths
from storage.search.bodies import BodyPart, body_paths
from storage.search.conditions import ORGANIZATION
from storage.search.predicates.body import folded
from storage.search.values import LONGEST_TEXT, fold
from storage.sql import prepare
from storage.tables.metadata import Identifier
from tests.search.library import Library

LOINC: Final = "http://loinc.org"
FOLDED: Final = prepare(
    select(folded(bindparam("text", type_=Identifier)).label("folded")).where(ORGANIZATION == "o"), "postgresql"
)


def observation(name: str, **elements: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": name, "status": "final", "code": {"text": "x"}, **elements}


def coded(system: str, code: str, display: str | None = None, text: str | None = None) -> dict[str, Any]:
    coding = {"system": system, "code": code} | ({"display": display} if display else {})
    return {"coding": [coding]} | ({"text": text} if text else {})


def plain(*codes: str) -> dict[str, Any]:
    return {"coding": [{"code": code} for code in codes]}


def about(reference: str) -> dict[str, Any]:
    return {"reference": reference}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("Observation?code:text=blood", ["pressure"]),  # the display
        ("Observation?code:text=BLOOD  press", ["pressure"]),
        ("Observation?code:text=pressure", []),  # from its beginning
        ("Observation?code:text=größe", ["height"]),  # the text of the concept
        ("Observation?code:text=GROSSE", ["height"]),
        ("Observation?code:text=x,blood", ["pressure"]),
        ("Observation?code:text=%25", []),
        ("Observation?status:text=final", []),  # a code has no text
        ("Observation?identifier:text=medical", ["height"]),  # the text of an identifier's type
        ("Observation?combo-code:text=dia", ["pressure"]),
        ("Observation?component-code:text=dia", ["pressure"]),
        ("Observation?patient.language:text=eng", ["height"]),
        ("Observation?patient=p&code:text=gro", ["height"]),
        ("Observation?code:text=gro&status=final", ["height"]),
        ("Observation?code:text=gro&status=amended", []),
        ("Patient?_has:Observation:patient:code:text=gro", ["p"]),
        ("Patient?_has:Observation:patient:code:text=blood", []),
        ("Patient?language:text=eng", ["p"]),
    ],
)
async def test_fhir_8_4_text_is_what_people_read(library: Library, query: str, found: list[str]) -> None:
    await library.add(
        {
            "resourceType": "Patient",
            "id": "p",
            "communication": [{"language": {"text": "English"}}],
        },
        observation(
            "pressure",
            code=coded(LOINC, "85354-9", "Blood pressure panel"),
            component=[{"code": coded(LOINC, "1", "Diastolic")}],
        ),
        observation(
            "height",
            code=coded(LOINC, "8302-2", "Body height", "Größe"),
            subject={"reference": "Patient/p"},
            identifier=[{"value": "1", "type": {"text": "Medical record"}}],
        ),
    )
    assert await library.ids(query) == found
    page = await library.page(f"{query}&_summary=count")
    assert page.total == len(found)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("Observation?code=http://loinc.org|", ["a"]),
        ("Observation?code=http://other|", ["b"]),
        ("Observation?code=http://loin|", []),
        ("Observation?code:not=http://loinc.org|", ["b"]),
        ("Observation?code=http://loinc.org|,2", ["b", "a"]),
        ("Observation?patient=p&code=http://loinc.org|", ["a"]),
        ("Observation?status=http://hl7.org/fhir/observation-status|", ["b", "a"]),  # implied by the binding
        ("Observation?status=http://other|", []),
        ("Observation?_tag=urn:t|", ["b"]),
        ("Observation?subject:identifier=urn:mrn|", ["b"]),
        ("Observation?subject:identifier=urn:other|", []),
        ("Observation?combo-code=http://loinc.org|", ["a"]),
        ("Observation?code-value-concept=http://loinc.org|$yes", ["a"]),
        ("Patient?telecom=phone|", ["p"]),
        ("Patient?telecom=email|", []),
        ("Patient?phone=phone|", ["p"]),
        ("Patient?email=phone|", []),
        ("Patient?active=phone|", []),
        ("Observation?patient.telecom=phone|", ["a"]),
        ("Patient?_has:Observation:patient:code=http://loinc.org|", ["p"]),
        ("Patient?_has:Observation:patient:code=http://other|", []),
    ],
)
async def test_fhir_8_4_a_system_alone_stands_for_any_code_of_it(
    library: Library, query: str, found: list[str]
) -> None:
    await library.add(
        {"resourceType": "Patient", "id": "p", "active": True, "telecom": [{"system": "phone", "value": "1"}]},
        observation(
            "a",
            code=coded(LOINC, "1"),
            subject={"reference": "Patient/p"},
            valueCodeableConcept=coded("http://v", "yes"),
        ),
        observation(
            "b",
            code=coded("http://other", "2"),
            subject={"identifier": {"system": "urn:mrn", "value": "1"}},
            meta={"tag": [{"system": "urn:t", "code": "x"}]},
        ),
    )
    assert await library.ids(query) == found


SORTED: Final = [
    ("Observation?_sort=code", ["a", "c", "b", "d"]),
    ("Observation?_sort=-code", ["c", "b", "a", "d"]),
    ("Observation?_sort=status", ["c", "d", "b", "a"]),
    ("Observation?_sort=status,-_id", ["d", "c", "b", "a"]),
    ("Observation?_sort=-status", ["a", "b", "d", "c"]),
    ("Observation?_sort=identifier", ["b", "a", "c", "d"]),  # letter by letter
    ("Observation?_sort=subject", ["c", "a", "b", "d"]),
    ("Observation?_sort=-subject", ["b", "a", "c", "d"]),
    ("Observation?_sort=patient", ["a", "b", "c", "d"]),
    ("Observation?_sort=combo-code", ["d", "a", "c", "b"]),
    ("Observation?patient=p1,p2&_sort=code", ["a", "b"]),
    ("Observation?patient=p1,p2&status=registered,preliminary&_sort=-code", ["b", "a"]),
    ("Patient?_sort=deceased", ["p1", "p3", "p2"]),
    ("Patient?_sort=-deceased", ["p2", "p3", "p1"]),
    ("Patient?_sort=active", ["p2", "p1", "p3"]),
]


@pytest.mark.parametrize(("query", "order"), SORTED)
async def test_fhir_Q2_every_token_and_reference_sorts(library: Library, query: str, order: list[str]) -> None:
    """Falling, several values count by the highest, rising by the lowest; without a value a resource comes last."""
    await library.add(
        observation(
            "a",
            status="registered",
            code=coded("", "B"),
            identifier=[{"value": "a"}],
            subject={"reference": "Patient/p1"},
        ),
        observation(
            "b",
            status="preliminary",
            code=coded("", "c"),
            identifier=[{"value": "B"}],
            subject={"reference": "Patient/p2"},
        ),
        observation("c", code=plain("D", "bb"), subject=about("Group/p")),
        observation("d", component=[{"code": plain("A")}]),
        {"resourceType": "Patient", "id": "p1", "active": True},
        {"resourceType": "Patient", "id": "p2", "active": False, "deceasedDateTime": "2020"},
        {"resourceType": "Patient", "id": "p3", "deceasedBoolean": False},
    )
    assert await library.ids(query) == order
    assert await library.everything(f"{query}&_count=1") == order


async def test_fhir_Q2_keys_of_the_resource_and_of_rows_go_together_beside_other_criteria(library: Library) -> None:
    """What is asked beside is asked of each resource, whatever the statement begins with."""
    await library.add(
        observation("a", valueString="x", category=[plain("lab")]),
        observation("b", valueString="y", category=[plain("lab")]),
        observation("c", valueString="z", category=[plain("exam")]),
    )
    assert await library.ids("Observation?status=final&category=lab&_sort=_id") == ["a", "b"]
    assert await library.ids("Observation?status=final&category=exam&_sort=_lastUpdated") == ["c"]
    assert await library.ids("Observation?status=final&value-string=y&_sort=_id") == ["b"]
    assert await library.ids("Observation?status=final&_sort=-value-string,_id") == ["c", "b", "a"]
    assert await library.ids("Observation?status=final&_sort=_lastUpdated,-value-string") == ["c", "b", "a"]


RACE: Final = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race"
SUBJECT: Final = "http://hl7.org/fhir/StructureDefinition/questionnaireresponse-isSubject"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("Patient?race=urn:oid:2.16.840.1.113883.6.238|", ["b", "a"]),
        ("Patient?race:text=white", ["a"]),
        ("Patient?race:text=asian", ["b"]),
        ("Patient?_sort=race", ["b", "a", "c"]),
        ("Patient?_sort=-race", ["a", "b", "c"]),
        ("Patient?_sort=phone", ["b", "c", "a"]),  # e-mail addresses are no phones
        ("Patient?_sort=-email", ["a", "b", "c"]),
        ("QuestionnaireResponse?_sort=item-subject", ["r", "q", "s"]),
        ("QuestionnaireResponse?_sort=-item-subject", ["q", "r", "s"]),
    ],
)
async def test_bodies_are_read_through_extensions_and_conditions(
    library: Library, query: str, found: list[str]
) -> None:
    def person(name: str, race: str | None, *telecom: tuple[str, str]) -> dict[str, Any]:
        system = "urn:oid:2.16.840.1.113883.6.238"
        coding = {"system": system, "code": {"White": "2106-3", "Asian": "2028-9"}.get(race or ""), "display": race}
        extension = {"url": RACE, "extension": [{"url": "ombCategory", "valueCoding": coding}]}
        points = [{"system": kind, "value": value} for kind, value in telecom]
        return (
            {"resourceType": "Patient", "id": name} | ({"extension": [extension]} if race else {}) | {"telecom": points}
        )

    def answered(name: str, reference: str, *, is_subject: bool) -> dict[str, Any]:
        marks = [{"url": SUBJECT, "valueBoolean": True}] if is_subject else []
        item = {"linkId": "1", "extension": marks, "answer": [{"valueReference": about(reference)}]}
        return {"resourceType": "QuestionnaireResponse", "id": name, "status": "completed", "item": [item]}

    await library.add(
        person("a", "White", ("email", "z@x")),
        person("b", "Asian", ("phone", "1"), ("email", "a@x")),
        person("c", None, ("phone", "2")),
        answered("q", "Patient/z", is_subject=True),
        answered("r", "Patient/a", is_subject=True),
        answered("s", "Patient/b", is_subject=False),
    )
    assert await library.ids(query) == found


def test_fhir_Q2_every_token_and_reference_is_sortable() -> None:
    for resource_type in RESOURCE_TYPES:
        for parameter in search_parameters(resource_type).values():
            for part in BodyPart:
                if parameter.type in {"token", "reference"}:
                    assert all(
                        path.written.startswith(("$", "(")) for path in body_paths(resource_type, parameter.code, part)
                    )


def test_a_path_is_written_as_it_is_read() -> None:
    phone = find("Patient", "phone")
    assert phone is not None
    (path,) = compile_paths("Patient", phone.expression)
    assert path.written == '$."telecom"[*] ? (@."system" == "phone")'
    (path,) = body_paths("Observation", "code", BodyPart.ORDER)
    assert path.written == '$."code"[*]."coding"[*]."code"[*]'


# --- folding ----------------------------------------------------------------------------------------------------------


async def folds(database: Database, texts: list[str]) -> list[str]:
    return [row[0] for text in texts for row in await database.fetch("o", FOLDED, {"text": text})]


@pytest.fixture
def postgres_database(database: Database) -> Database:
    if database.dialect != "postgresql":
        pytest.skip("SQLite folds by the same function")
    return database


async def test_PostgreSQL_folds_every_letter_as_the_index_does(postgres_database: Database) -> None:
    """Letters that stay what they are and Hangul, which is taken apart by rule, are left to the test below."""
    letters = [chr(n) for n in range(1, sys.maxunicode + 1) if not 0xD800 <= n < 0xE000 and not 0xAC00 <= n < 0xD7A4]
    moved = [letter for letter in letters if fold(letter) != letter]
    for start in range(0, len(moved), 60):
        text = "|".join(moved[start : start + 60])
        assert await folds(postgres_database, [text]) == [fold(text)], hex(ord(moved[start]))


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=LONGEST_TEXT + 20))
async def test_PostgreSQL_folds_texts_as_the_index_does(postgres_database: Database, text: str) -> None:
    assert await folds(postgres_database, [text]) == [fold(text)]


async def test_security_IN7_PostgreSQL_folds_a_row_of_accents_in_no_time(postgres_database: Database) -> None:
    """Their order takes their number squared to find: without a limit the statement would be given up."""
    text = "a" + "\u0300" * 200_000 + "\u0316" * 200_000 + "b"
    assert await folds(postgres_database, [text]) == [fold(text)] == ["a"]


async def test_bodies_of_deleted_resources_are_no_fault(library: Library) -> None:
    """PostgreSQL may look into a body before it looks whether there is one: a row that is away must not tell so."""
    for at in range(6):
        evidence = [{"detail": [about("Observation/1")]}]
        more = {"clinicalStatus": coded("urn:s", "active", text="x"), "evidence": evidence}
        identifier = [{"system": "urn:other", "value": "1"}]
        await library.add({"resourceType": "Condition", "id": f"c{at}", "identifier": identifier, **more})
    await library.delete("Condition/c2", "Condition/c3")
    query = "Condition?clinical-status:text=x&identifier=urn:other|1,hidden&_sort=evidence-detail&_total=estimate"
    assert await library.ids(query) == ["c0", "c1", "c4", "c5"]
    await library.delete("Condition/c0", "Condition/c1", "Condition/c4", "Condition/c5")
    assert await library.ids(query) == []
