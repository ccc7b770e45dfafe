"""What a patient's app is answered does not depend on rows it may not see (settled §4.8; security AZ-1 to AZ-7).

Two servers are told the same about one patient, with the same clock and the same ids. One of them is told much more in
between: about another patient of the organization, and about patients of another organization with the same ids. Then
an app of the first patient asks both the same. Every byte of the answers is the same; in place of a sealed cursor
stands what it holds, without the mark of the first page, which nobody can read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from storage.provenance import provenance_id
from storage.resources import ResourceKey
from tests.acceptance.questions import TYPES as SCENE_TYPES
from tests.acceptance.questions import Question, Questioner
from tests.acceptance.replay import Answer, World, all_pages, asked, places_noted, world
from tests.acceptance.scenes import CALLERS, PATIENTS, SECRET_WORD, Caller, Scene
from tests.conftest import ENGINES, ORGANIZATION, OTHER_ORGANIZATION, new_database_url
from tests.site import observation, patient

MRN = "http://example.org/mrn"
LOINC = "http://loinc.org"


# --- what the servers are told ----------------------------------------------------------------------------------------

Told = tuple[str, str, dict[str, Any] | None]


def put(resource: dict[str, Any]) -> Told:
    return "PUT", f"/{resource['resourceType']}/{resource['id']}", resource


def coded(code: str, system: str = LOINC, **more: Any) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}], **more}


def measured(key: str, subject: str, day: int, value: int, **more: Any) -> dict[str, Any]:
    return observation(
        f"Patient/{subject}",
        id=key,
        category=[coded("vital-signs", "http://terminology.hl7.org/CodeSystem/observation-category")],
        effectiveDateTime=f"2020-03-{day:02}T08:00:00Z",
        valueQuantity={"value": value, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
        **more,
    )


def record(subject: str, word: str) -> list[Told]:
    """Return a small record of one patient; `word` is in every text of it."""
    who = {"reference": f"Patient/{subject}"}
    entries = [
        {
            "fullUrl": f"urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0{number}",
            "request": {"method": "POST", "url": resource["resourceType"]},
            "resource": resource,
        }
        for number, resource in enumerate(
            [
                {
                    "resourceType": "DiagnosticReport",
                    "status": "final",
                    "code": coded("24323-8", text=word),
                    "subject": who,
                    "effectiveDateTime": "2020-04-01",
                    "result": [{"reference": "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f01"}],
                },
                observation(f"Patient/{subject}", code=coded("2345-7", text=word), valueInteger=5),
            ]
        )
    ]
    return [
        put(
            patient(
                "Chalmers",
                id=subject,
                identifier=[{"system": MRN, "value": "1"}],
                birthDate="1974-12-25",
                contact=[{"name": {"text": word}}],
            )
        ),
        put(measured(f"{subject}-w1", subject, 1, 70, note=[{"text": word}])),
        put(measured(f"{subject}-w2", subject, 2, 71)),
        put(
            observation(f"Patient/{subject}", id=f"{subject}-odd", code=coded("mood", "http://own.example", text=word))
        ),
        put(
            {
                "resourceType": "Encounter",
                "id": f"{subject}-visit",
                "status": "finished",
                "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
                "subject": who,
                "reasonCode": [{"text": word}],
            }
        ),
        put(
            {
                "resourceType": "Condition",
                "id": f"{subject}-condition",
                "clinicalStatus": coded("active", "http://terminology.hl7.org/CodeSystem/condition-clinical"),
                "code": {"text": f"Headache {word}"},
                "subject": who,
                "encounter": {"reference": f"Encounter/{subject}-visit"},
            }
        ),
        put(
            {
                "resourceType": "MedicationRequest",
                "id": f"{subject}-drug",
                "status": "active",
                "intent": "order",
                "medicationCodeableConcept": {"text": f"Aspirin {word}"},
                "subject": who,
                "requester": {"reference": "Practitioner/doctor"},
                "authoredOn": "2020-05-01T10:00:00Z",
            }
        ),
        put(
            {
                "resourceType": "CarePlan",
                "id": f"{subject}-plan",
                "status": "active",
                "intent": "plan",
                "title": word,
                "subject": who,
            }
        ),
        ("POST", "/", {"resourceType": "Bundle", "type": "transaction", "entry": entries}),
        put(measured(f"{subject}-w1", subject, 1, 72, note=[{"text": word}])),
        put(measured(f"{subject}-gone", subject, 3, 73)),
        ("DELETE", f"/Observation/{subject}-gone", None),
    ]


DIRECTORY: list[Told] = [
    put({"resourceType": "Practitioner", "id": "doctor", "name": [{"family": "Hippocrates"}]}),
]
"""Seen by everyone, so told to both."""

VISIBLE = record("own", "Marble")
HIDDEN = record("other", SECRET_WORD)
ELSEWHERE = record("own", SECRET_WORD)
"""For the other organization: the same ids."""


def hidden_extra() -> list[Told]:
    """Return hidden resources that lead to visible ones, or come between them."""
    note = [{"text": SECRET_WORD}]
    by_own = [{"reference": "Patient/own"}]
    return [
        put(measured("other-by-own", "other", 1, 70, performer=by_own, note=note)),
        put(measured("other-member", "other", 1, 70, hasMember=[{"reference": "Observation/own-w1"}], note=note)),
        put(measured("own-w0", "other", 1, 1, note=note)),
        put(measured("zzz", "other", 28, 500, note=note)),
        put(
            {
                "resourceType": "Condition",
                "id": "other-at-visit",
                "code": {"text": SECRET_WORD},
                "subject": {"reference": "Patient/other"},
                "encounter": {"reference": "Encounter/own-visit"},
            }
        ),
        ("POST", "/Patient", patient("Chalmers", id="x", identifier=[{"system": MRN, "value": "hidden"}])),
        put(
            {
                "resourceType": "ValueSet",
                "id": "hidden",
                "url": "http://own.example/hidden",
                "status": "active",
                "compose": {"include": [{"system": "http://own.example", "concept": [{"code": "mood"}]}]},
            }
        ),
        put(
            {
                "resourceType": "CodeSystem",
                "id": "hidden",
                "url": "http://own.example",
                "status": "active",
                "content": "complete",
                "concept": [{"code": "mood", "concept": [{"code": SECRET_WORD}]}],
            }
        ),
        put(
            {
                "resourceType": "List",
                "id": "hidden",
                "status": "current",
                "mode": "working",
                "subject": {"reference": "Patient/other"},
                "entry": [{"item": {"reference": "Observation/own-w1"}}],
            }
        ),
    ]


# --- what is asked ----------------------------------------------------------------------------------------------------

TYPES = ("Observation", "Condition", "Encounter", "MedicationRequest", "CarePlan", "DiagnosticReport", "Patient")
KEYS = ("Patient/{}", "Observation/{}-w1", "Observation/{}-gone", "Encounter/{}-visit", "MedicationRequest/{}-drug")
INSTANCE = (
    *("", "?_summary=true", "?_elements=status", "/_history", "/_history?_at=2020-09-13T12:26:42Z", "/_history/1"),
    *("/_history/2", "/$lineage", "/$meta", "/$validate", "/$validate?mode=delete"),
)
"""What is asked of one resource."""


def asked_of(key: str) -> list[str]:
    """Return the addresses of one resource, without what depends on hidden rows as it has to (settled §3.5).

    Within an organization nothing is deleted that others refer to, whoever may see these.
    """
    held = "?mode=delete" if key == "Observation/own-w1" else "\0"
    return [f"{key}{rest}" for rest in INSTANCE if held not in rest]


READS = [
    path
    for whose in ("own", "other", "nobody")
    for key in KEYS
    for path in (
        *asked_of(key.format(whose)),
        *(f"Provenance/{provenance_id(ResourceKey(*key.format(whose).split('/')), number)}" for number in (1, 2)),
    )
] + ["$meta", "Observation/$meta", "ValueSet/hidden", "List/hidden", "CodeSystem/hidden/_history"]
SEARCHES = [
    *(
        f"{name}?{result}"
        for name in TYPES
        for result in ("_total=accurate", "_summary=count", "_count=1", "_sort=_lastUpdated&_count=2", "_sort=_id")
    ),
    "Patient/own/$everything?_count=3",
    "Patient/own/$everything?start=2020-03-02",
    "Patient/other/$everything",
    "Patient/nobody/$everything",
    "_history?_count=3",
    "_history?_since=2020",
    "Observation/_history?_count=2",
    "Observation/_history?_at=2020-09-13T12:26:41Z&_count=1",
    "Patient/own/$everything?_at=2020-09-13T12:26:41Z&_count=2",
    "Patient/other/$everything?_at=2020-09-13T12:26:41Z",
    "Observation?patient=other",
    "Observation?patient=Patient/own",
    "Observation?subject=Patient/other,Patient/own",
    "Observation?date=ge2020-03-01&_sort=-date&_count=2",
    "Observation?date=gt2020-03-20",
    "Observation?value-quantity=gt400",
    "Observation?value-quantity=gt1&_sort=value-quantity&_count=1",
    "Observation?code=mood",
    "Observation?code:not=29463-7",
    "Observation?performer=Patient/own",
    "Observation?has-member=Observation/own-w1",
    "Observation?_id=own-w0,own-w1,zzz,other-w1",
    "Observation?_lastUpdated=gt2020-09-13T12:26:41Z",
    "Observation?subject:Patient.identifier=1",
    "Observation?subject:Patient.family=chalmers",
    "Observation?patient.birthdate=1974-12-25",
    "Condition?encounter.class=AMB",
    "Condition?code:text=headache",
    "MedicationRequest?requester:Practitioner.family=hippocrates&_include=MedicationRequest:requester",
    "MedicationRequest?_include=MedicationRequest:patient&_include=MedicationRequest:*",
    "Patient?identifier=1",
    "Patient?identifier=hidden",
    "Patient?family=chalmers&birthdate=1974-12-25&_total=accurate",
    "Patient?_has:Observation:patient:code=29463-7",
    "Patient?_has:Observation:performer:value-quantity=70",
    "Patient?_id=other&_revinclude=Observation:patient",
    "Patient?_id=own&_revinclude=Observation:patient&_revinclude=Observation:performer&_revinclude=Condition:patient",
    "Encounter?_revinclude=Condition:encounter&_total=accurate",
    "Observation?_id=own-w1&_revinclude=Observation:has-member",
    "Practitioner?_revinclude=MedicationRequest:requester",
    "Practitioner?_has:MedicationRequest:requester:status=active",
    "Observation?_sort=_id&_count=3&_revinclude=Provenance:target",
    "Patient/own/$everything?_count=3&_revinclude=Provenance:target",
    "Practitioner?_revinclude=Provenance:target",
    "Provenance?patient=other",
    "Provenance?target=Observation/own-w1,Observation/other-w1,Patient/other,Patient/own&_count=1&_total=accurate",
    *(f"Patient/{whose}/{name}?_count=2" for whose in ("own", "other", "nobody") for name in ("Observation", "*")),
    "?_type=Observation,Condition&_count=3&_total=accurate",
    "?_type=Observation,Patient&_id=own,other,zzz,own-w1",
    *(
        f"{owner}/{name}"
        for owner in ("Encounter/own-visit", "Encounter/other-visit", "Encounter/nobody-visit", "Practitioner/doctor")
        for name in ("Condition", "MedicationRequest", "*", "*?_total=accurate&_count=1&_sort=_id")
    ),
    *(
        f"Patient/own/Observation?{query}"
        for query in (
            "_has:Observation:has-member:value-quantity=70",
            "has-member.performer=Patient/own",
            "_revinclude=Condition:encounter&_revinclude:iterate=Observation:has-member",
            "_summary=count",
            "_sort=-value-quantity,code&_count=1&_total=accurate",
        )
    ),
    *(
        f"Observation/$lastn?category=vital-signs&max={most}&{whose}"
        for most in (1, 2, 10)
        for whose in ("patient=own", "patient=other", "subject:Patient.identifier=1", "patient.family=chalmers")
    ),
    "Observation?_sort=code,-_id&_count=2",
    "Observation?_sort=-subject,code&_count=2&_total=accurate",
    "Condition?_sort=code&_total=accurate",
    "Observation?_sort=-value-quantity,_id&_count=2",
    "Observation?code:text=marble",
    f"Observation?code:text={SECRET_WORD.lower()}",
    f"Condition?code:text=headache {SECRET_WORD.lower()}&_summary=count",
    *(f"Observation?code:{how}=http://own.example/hidden" for how in ("in", "not-in")),
    *(f"Observation?code:{how}=ValueSet/hidden" for how in ("in", "not-in")),
    *(f"Observation?code:{how}=http://own.example|mood" for how in ("above", "below")),
    "Observation?has-member.code:in=http://own.example/hidden",
    "Observation?_has:Observation:has-member:code:in=ValueSet/hidden",
    "?_type=Observation,Condition,Encounter&_sort=-_lastUpdated&_count=2&_revinclude=Provenance:target",
    "?_type=Patient,Observation&_sort=_id&_count=3&_summary=true",
    "?_lastUpdated=gt2020-09-13T12:26:41Z&_count=4&_elements=id",
    "_history?_list=hidden",
    "Observation/_history?_list=List/hidden&_count=2",
    "Observation/own-w1/_history?_list=hidden",
    "_history?_count=2&_elements=status",
    "_history?_at=2020-09-13T12:26:50Z&_count=2",
    "Provenance?target=Observation/other-w1/_history/1,Observation/own-w1/_history/1",
    "Provenance?patient=own&_count=1&_total=accurate",
    "Provenance?recorded=ge2020&_total=accurate",
    "Patient?_id=own&_revinclude=Observation:patient&_revinclude:iterate=Provenance:target",
    "Observation/_history?_count=3",
    "Patient/_history",
    "_history?_count=5",
]


def transaction(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def refer(query: str) -> dict[str, Any]:
    """Return a transaction with a conditional reference."""
    resource = observation("Patient/own", focus=[{"reference": query}])
    return transaction({"request": {"method": "POST", "url": "Observation"}, "resource": resource})


JSON_PATCH = {"Content-Type": "application/json-patch+json"}
NOTE = [{"op": "add", "path": "/valueString", "value": "noted"}]
METHOD = [{"op": "add", "path": "/method", "value": {"text": "noted"}}]


def measured_anew(day: int, value: int) -> dict[str, Any]:
    """Return what a conditional update without id sends."""
    return {name: each for name, each in measured("x", "own", day, value).items() if name != "id"}


def patched(url: str) -> dict[str, Any]:
    """Return a transaction with a patch."""
    path = {"name": "path", "valueString": "Observation.note"}
    part = [{"name": "type", "valueCode": "delete"}, path]
    resource = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]}
    return transaction({"request": {"method": "PATCH", "url": url}, "resource": resource})


def call(name: str, **value: Any) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": name, **value}]}


def batch(*urls: str) -> dict[str, Any]:
    entries = [{"request": {"method": "GET", "url": url}} for url in urls]
    return {"resourceType": "Bundle", "type": "batch", "entry": entries}


LABEL = call("meta", valueMeta={"tag": [{"system": "http://own.example/labels", "code": "x"}]})
CALLS: list[tuple[str, Any]] = [
    *(
        (f"/Observation/{key}/$validate{mode}", measured(key, "own", 1, 1))
        for key in ("own-w1", "other-w1", "zzz", "nobody-w1", "own-gone")
        for mode in ("", "?mode=update", "?mode=create")
    ),
    ("/Observation/$validate?mode=create", measured("x", "other", 1, 1)),
    ("/Observation/$validate?mode=create", measured("x", "nobody", 1, 1)),
    ("/Observation/$validate?mode=update", measured("own-w1", "other", 1, 1)),
    ("/Observation/$validate?mode=update", measured("zzz", "own", 1, 1)),
    *(
        (f"/Observation/{key}/{name}", LABEL)
        for key in ("own-w2", "other-w1", "nobody-w1", "own-gone")
        for name in ("$meta-add", "$meta", "$meta-delete")
    ),
    ("/Observation/_search", "value-quantity=gt400&_total=accurate"),
    ("/Observation/_search?_count=1", "performer=Patient/own"),
    ("/_search", "_type=Observation,Condition&_count=2&_total=accurate"),
    ("/Patient/own/Observation/_search", "value-quantity=gt1&_count=2"),
    ("/Patient/other/Observation/_search", "value-quantity=gt1&_count=2"),
    ("/Patient/own/$everything", call("_count", valueInteger=3)),
    ("/Patient/other/$everything", call("_count", valueInteger=3)),
    *(
        ("/", batch(*(path for key in KEYS for path in asked_of(key.format(whose)))))
        for whose in ("own", "other", "nobody")
    ),
    ("/", batch("Patient/other/*", "Observation?_id=zzz", "Observation/zzz/_history", "_history?_count=2", "$meta")),
]


WRITES: list[tuple[str, str, Any, dict[str, str]]] = [
    *(
        ("PATCH", f"/Observation/{key}", METHOD, JSON_PATCH | condition)
        for key in ("other-w1", "nobody-w1", "own-gone", "own-w2")
        for condition in ({}, {"If-Match": 'W/"2"'})
    ),
    *(
        ("PATCH", f"/Observation?{query}", METHOD, JSON_PATCH)
        for query in ("_id=zzz", "_id=nothing", "_id=own-w1", "value-quantity=500", "_id=own-w1,zzz")
    ),
    ("PATCH", "/Observation/other-w1", NOTE, JSON_PATCH),
    *(
        ("PUT", "/Observation?_id=nothing", measured(key, "own", 4, 4), {})
        for key in ("zzz", "nobody-w9", "other-w1", "own-w2", "own-gone")
    ),
    ("PUT", "/Observation?value-quantity=500", measured_anew(5, 5), {}),
    ("PUT", "/Observation?_id=own-w2,zzz", measured_anew(2, 95), {}),
    ("PUT", "/Observation?_id=own-w2", measured("zzz", "own", 2, 96), {}),
    *(("DELETE", f"/Observation?{query}", None, {}) for query in ("_id=zzz", "value-quantity=gt400", "_id=nothing")),
    *(("POST", "/", patched(f"Observation{each}"), {}) for each in ("/other-w1", "/nobody-w1", "?_id=zzz", "/own-w2")),
    ("PUT", "/Observation/other-w1", measured("other-w1", "own", 1, 1), {}),
    ("PUT", "/Observation/nobody-w1", measured("nobody-w1", "own", 1, 1), {}),
    ("PUT", "/Observation/other-w1", measured("other-w1", "own", 1, 1), {"If-Match": 'W/"2"'}),
    ("PUT", "/Observation/own-w2", measured("own-w2", "other", 1, 1), {}),
    ("PUT", "/Observation/own-w2", measured("own-w2", "own", 2, 90), {}),
    ("PUT", "/Patient/other", patient(id="other"), {}),
    ("PUT", "/CarePlan/other-plan", {**HIDDEN[7][2], "subject": {"reference": "Patient/own"}}, {}),  # type: ignore[dict-item]
    ("DELETE", "/Observation/other-w1", None, {}),
    ("DELETE", "/Observation/nobody-w1", None, {}),
    ("DELETE", "/Observation/other-w1", None, {"If-Match": 'W/"2"'}),
    ("POST", "/Observation", measured("x", "other", 1, 1), {}),
    ("POST", "/Observation", measured("x", "own", 9, 9), {"If-None-Exist": "value-quantity=500"}),
    ("POST", "/Observation", measured("x", "own", 9, 9), {"If-None-Exist": "value-quantity=70"}),
    ("POST", "/Observation", measured("x", "own", 9, 9), {"If-None-Exist": "_id=zzz"}),
    ("POST", "/", refer("Observation?_id=zzz"), {}),
    ("POST", "/", refer("Patient?identifier=1"), {}),
    ("POST", "/", refer("Encounter?class=AMB"), {}),
    ("POST", "/", refer("Patient?identifier=hidden"), {}),
    ("GET", "/Observation/other-w1", None, {"If-None-Match": 'W/"2"'}),
    ("HEAD", "/Observation/other-w1", None, {}),
    ("HEAD", "/Observation/own-w1", None, {}),
    *(
        ("DELETE", f"/Provenance/{provenance_id(ResourceKey('Observation', f'{whose}-w1'), 1)}", None, {})
        for whose in ("own", "other", "nobody")
    ),
]


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What every cursor holds, save the mark, as the server makes them."""
    return places_noted(monkeypatch)


async def everything_asked(here: World, places: dict[str, str]) -> list[Answer]:
    """Ask all there is to ask, reads and writes and reads again, as two kinds of caller."""
    here.set(1000, hidden=False)
    callers = [
        here.client("patient/*.cruds", role="APP", patient="own"),
        here.client("patient/*.cruds", role="PATIENT", patient="own", fhir_user="Patient/own"),
    ]
    answers: list[Answer] = []
    for fhir in callers:
        answers += [(await asked(fhir, places, "GET", f"/{path}"))[0] for path in READS]
        for query in SEARCHES:
            answers += await all_pages(fhir, places, query)
        for path, body in CALLS:
            answers.append((await asked(fhir, places, "POST", path, body))[0])
        for tick, (method, path, body, headers) in enumerate(WRITES, start=1001):
            here.set(tick, hidden=False)
            answers.append((await asked(fhir, places, method, path, body, headers))[0])
        for name in TYPES:
            answers += await all_pages(fhir, places, f"{name}?_sort=_lastUpdated")
            answers += await all_pages(fhir, places, f"{name}/_history?_count=4")
    return answers


async def tell(fhir: httpx.AsyncClient, told: Told) -> None:
    method, path, body = told
    answer = await fhir.request(method, path, json=body)
    assert answer.status_code in {200, 201, 204}, (told, answer.text)


async def build(here: World, *, with_hidden: bool) -> None:
    """Tell a server its rows: hidden ones come before, between and after the visible ones."""
    writer = here.client("system/*.cruds")
    elsewhere = here.client("system/*.cruds", organization=OTHER_ORGANIZATION)
    hidden = [*HIDDEN, *hidden_extra()] if with_hidden else []
    others = [*DIRECTORY, *ELSEWHERE] if with_hidden else []
    for tick, visible in enumerate([*DIRECTORY, *VISIBLE], start=1):
        here.set(tick, hidden=True)
        for one, client in ((hidden, writer), (others, elsewhere)):
            if one:
                await tell(client, one.pop(0))
        here.set(tick, hidden=False)
        await tell(writer, visible)
    here.set(100, hidden=True)
    for one, client in ((hidden, writer), (others, elsewhere)):
        for told in one:
            await tell(client, told)
    await here.settle()


@pytest.mark.parametrize("engine", ENGINES)
async def test_settled_4_8_every_byte_is_the_same_with_and_without_hidden_rows(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path, places: dict[str, str]
):
    answers: list[list[Answer]] = []
    for with_hidden in (False, True):
        folder = tmp_path / str(with_hidden)
        folder.mkdir()
        async with AsyncExitStack() as stack:
            here = await stack.enter_async_context(world(new_database_url(engine, request, folder)))
            await build(here, with_hidden=with_hidden)
            answers.append(await everything_asked(here, places))
            assert with_hidden is await hides_something(here)
    without, with_hidden_rows = answers
    assert len(without) == len(with_hidden_rows)
    for expected, found in zip(without, with_hidden_rows, strict=True):
        assert found[1] < 500, found
        assert found == expected, (found[0], found[3][:300], expected[3][:300])
        assert SECRET_WORD.encode() not in found[3]
    statuses = {status for _, status, _, _ in without}
    assert {200, 201, 204, 400, 403, 404, 409, 410, 412} >= statuses >= {200, 201, 204, 404, 409, 410, 412}


async def hides_something(here: World) -> bool:
    """Say whether there is something that the app does not see."""
    answer = await here.client("system/*.rs", organization=ORGANIZATION).get("/Observation?_id=zzz")
    return bool(answer.json()["total"])


# --- drawn requests ---------------------------------------------------------------------------------------------------

QUESTIONS = 200
"""Of each caller and seed; `--noninterference 20` asks twenty seeds."""


Asked = list[tuple[Question, list[Answer]]]


async def answers_of(here: World, places: dict[str, str], scene: Scene, seed: int, *, with_hidden: bool) -> Asked:
    """Tell a server a scene, with or without what the caller may not see, and ask it everything."""
    await tell_scene(here, scene, with_hidden=with_hidden)
    caller = scene.caller
    claims = {"role": caller.role, "patient": caller.patient, "fhir_user": caller.fhir_user}
    fhir = here.client(caller.scope, **claims, is_partner=caller.is_partner)
    questioner = Questioner(scene, seed)
    questions = [questioner.draw() for _ in range(QUESTIONS)]
    questions += [Question("GET", f"/{each}?_sort=_lastUpdated&_count=20", paged=True) for each in SCENE_TYPES]
    questions += [Question("GET", f"/{each}/_history?_count=20", paged=True) for each in SCENE_TYPES]
    found: Asked = []
    here.set(999, hidden=False)  # cursors hold when they were made, which else would be the time of the last step
    for tick, question in enumerate(questions, start=1000):
        if question.method not in {"GET", "HEAD"}:
            here.set(tick, hidden=False)
        if question.paged:
            found.append((question, await all_pages(fhir, places, question.path.lstrip("/"))))
        else:
            found.append((question, [(await asked(fhir, places, *question[:4]))[0]]))
    return found


async def tell_scene(here: World, scene: Scene, *, with_hidden: bool) -> None:
    elsewhere = here.client("system/*.cruds", organization=OTHER_ORGANIZATION)
    clients = {False: here.client("system/*.cruds"), True: elsewhere}
    if scene.caller.is_partner:
        await here.sql(f"UPDATE organizations SET home_system = 'care' WHERE id = '{ORGANIZATION}'")
        await here.settle()
    for tick, step in enumerate(scene.steps, start=1):
        hidden = not scene.caller.sees(step.row)
        if hidden and not with_hidden:
            continue
        here.set(tick, hidden=hidden)
        told = put(step.contents[with_hidden]) if step.contents else ("DELETE", f"/{step.row.key}", None)
        await tell(clients[step.row.elsewhere], told)
    await here.settle()
    if scene.caller.is_partner:
        await tell_consents(here, len(scene.steps), with_hidden=with_hidden)


async def tell_consents(here: World, tick: int, *, with_hidden: bool) -> None:
    """Let one patient agree to share; of the others one never did, and one took it back."""
    first, own, last = PATIENTS
    consents = [(own, "DATA_SHARING", None), (first, "TREATMENT", None), (last, "DATA_SHARING", "2024-02-01")]
    for at, (who, kind, revoked) in enumerate(consents, start=tick + 1):
        if who == own or with_hidden:
            here.set(at, hidden=who != own)
            ended = "NULL" if revoked is None else f"'{revoked} 00:00:00+00:00'"
            await here.sql(
                "INSERT INTO patient_consents (organization_id, id, patient_id, consent_type, granted_at, revoked_at)"
                f" VALUES ('{ORGANIZATION}', 'consent-{at}', '{who}', '{kind}', '2024-01-01 00:00:00+00:00', {ended})"
            )
            await here.settle()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("caller", CALLERS, ids=lambda each: each.name.replace(" ", "-"))
async def test_settled_4_8_drawn_requests_are_answered_alike_with_and_without_hidden_rows(
    caller: Caller, engine: str, request: pytest.FixtureRequest, tmp_path: Path, places: dict[str, str]
):
    for seed in range(1, 1 + request.config.getoption("noninterference")):
        answers: list[Asked] = []
        for with_hidden in (False, True):
            folder = tmp_path / f"{seed}-{with_hidden}"
            folder.mkdir()
            async with world(new_database_url(engine, request, folder)) as here:
                answers.append(await answers_of(here, places, Scene(seed, caller), seed, with_hidden=with_hidden))
        assert not "\n\n".join(told_apart(*answers)), (seed, caller.name)


def told_apart(without: Asked, with_hidden_rows: Asked) -> Iterator[str]:
    """Yield what tells of hidden rows, and what fails."""
    for (question, expected), (_, found) in zip(without, with_hidden_rows, strict=True):
        if found != expected or any(status >= 500 or SECRET_WORD.encode() in body for _, status, _, body in found):
            yield "\n".join(map(str, (question, *expected, "with hidden rows:", *found)))
