"""Random worlds of resources that resemble each other, and random searches that hit or just miss them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Any
from urllib.parse import quote

Resource = dict[str, Any]

PATIENTS = ("p1", "p2", "p3")
DATES = (
    "2013",
    "2013-01",
    "2013-01-14",
    "2013-01-14T10:00:00Z",
    "2013-01-14T10:00:00.5+02:00",
    "2013-02",
    "2012-12-31",
)
DAYS = ("2013", "2013-01", "2013-01-14", "2013-01-15", "2012-12-31")
PERIODS = (
    {"start": "2013-01-14"},
    {"end": "2013-01"},
    {"start": "2012", "end": "2013-01-14T12:00:00Z"},
    {"start": "2013-01-14", "end": "2013-01-14"},
)
SYSTEMS = ("http://loinc.org", "http://other.example")
CODES = ("1-1", "2-2", "A", "a")
UNITS = (("mg", "http://unitsofmeasure.org"), ("g", "http://unitsofmeasure.org"), ("tablet", "http://local"))
NUMBERS = ("5", "5.0", "5.4", "0.005", "5000", "-1", "0", "100")
NAMES = ("Müller", "muller", "Mull%er", "Anna  Maria", "O'Neil", "ÅSE", "Smith_Jones")
PREFIXES = ("", "", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


class Draw:
    """Draws parts of resources and searches."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def one(self, values: Sequence[Any]) -> Any:
        return self.random.choice(values)

    def maybe(self, likelihood: float = 0.6) -> bool:
        return self.random.random() < likelihood

    def some(self, make: Callable[[], Any], most: int = 2) -> list[Any]:
        return [make() for _ in range(self.random.randint(1, most))]

    def having(self, resource: Resource, optional: Mapping[str, Callable[[], Any]]) -> Resource:
        """Add most of the optional elements."""
        return resource | {name: make() for name, make in optional.items() if self.maybe(0.7)}

    # --- resources ---

    def coding(self) -> Resource:
        return {"code": self.one(CODES)} | ({"system": self.one(SYSTEMS)} if self.maybe() else {})

    def concept(self) -> Resource:
        return {"coding": self.some(self.coding)}

    def quantity(self) -> Resource:
        unit, system = self.one(UNITS)
        comparator = self.one([None, None, None, "<", "<=", ">=", ">"])
        found = {"value": Decimal(self.one(NUMBERS)), "unit": unit, "code": unit, "system": system}
        return found | ({"comparator": comparator} if comparator else {})

    def subject(self) -> Resource:
        if self.maybe(0.75):
            return {"reference": f"Patient/{self.one(PATIENTS)}"}
        others = ("Group/g1", "Patient/p1/_history/2", "urn:uuid:1")
        return self.one(
            [{"identifier": {"system": "urn:mrn", "value": "A1"}}, *({"reference": other} for other in others)]
        )

    def person(self) -> Resource:
        return {"reference": self.one(["Practitioner/d1", "Patient/p1", "Patient/p2"])}

    def identifier(self) -> Resource:
        kind = {"type": {"coding": [{"system": "http://t", "code": "MR"}]}} if self.maybe() else {}
        system = {"system": self.one(["urn:mrn", "urn:other"])} if self.maybe(0.8) else {}
        return {"value": self.one(["A1", "a1", "B2"])} | system | kind

    def name(self) -> Resource:
        return self.having({"family": self.one(NAMES)}, {"given": lambda: self.some(lambda: self.one(NAMES))})

    def patient(self, name: str) -> Resource:
        return self.having(
            {"resourceType": "Patient", "id": name},
            {
                "gender": lambda: self.one(["male", "female", "other"]),
                "birthDate": lambda: self.one(DAYS),
                "active": lambda: self.maybe(0.5),
                "name": lambda: self.some(self.name),
                "identifier": lambda: self.some(self.identifier),
                "generalPractitioner": lambda: [{"reference": "Practitioner/d1"}],
            },
        )

    def observation(self, name: str) -> Resource:
        when, what = self.one(["dateTime", "dateTime", "period", ""]), self.one(["quantity", "string", "concept", ""])
        found = self.having(
            {"resourceType": "Observation", "id": name, "code": self.concept()},
            {
                "status": lambda: self.one(["final", "amended"]),
                "category": lambda: self.some(self.concept),
                "subject": self.subject,
                "performer": lambda: self.some(self.person),
                "component": lambda: self.some(
                    lambda: self.having({"code": self.concept()}, {"valueQuantity": self.quantity})
                ),
                "hasMember": lambda: [{"reference": "Observation/o1"}],
            },
        )
        dates = {"dateTime": ("effectiveDateTime", DATES), "period": ("effectivePeriod", PERIODS)}
        values = {
            "quantity": ("valueQuantity", self.quantity()),
            "string": ("valueString", self.one(NAMES)),
            "concept": ("valueCodeableConcept", self.concept()),
        }
        if when:
            found[dates[when][0]] = self.one(dates[when][1])
        if what:
            found[values[what][0]] = values[what][1]
        return found

    def encounter(self, name: str) -> Resource:
        start = {"resourceType": "Encounter", "id": name, "status": "finished", "class": self.coding()}
        return self.having(start, {"subject": self.subject, "period": lambda: self.one(PERIODS)})

    def condition(self, name: str) -> Resource:
        return self.having(
            {"resourceType": "Condition", "id": name, "subject": self.subject(), "code": self.concept()},
            {
                "recordedDate": lambda: self.one(DATES),
                "onsetDateTime": lambda: self.one(DATES),
                "asserter": self.person,
            },
        )

    def world(self) -> list[Resource]:
        """Return some twenty resources with ids."""
        return [
            *(self.patient(name) for name in PATIENTS),
            {"resourceType": "Group", "id": "g1", "type": "person", "actual": self.maybe(0.5)},
            *(self.observation(f"o{at}") for at in range(10)),
            *(self.encounter(f"e{at}") for at in range(4)),
            *(self.condition(f"c{at}") for at in range(4)),
        ]

    # --- searches ---

    def prefixed(self, values: Sequence[str]) -> str:
        return f"{self.one(PREFIXES)}{self.one(values)}"

    def asked_date(self) -> str:
        return self.prefixed(DATES)

    def asked_token(self) -> str:
        code = self.one(CODES)
        return f"{self.one([*SYSTEMS, ''])}|{code}" if self.maybe(0.4) else code

    def asked_quantity(self) -> str:
        unit, system = self.one(UNITS)
        form = self.one(["", "", f"|{system}|{unit}", f"||{unit}"])
        return self.prefixed(NUMBERS) + form

    def asked_pair(self) -> str:
        return f"{self.asked_token()}${self.asked_quantity()}"

    def value(self, kind: str) -> str:
        """Return a value of one of KINDS."""
        makers: dict[str, Callable[[], str]] = {
            "date": self.asked_date,
            "token": self.asked_token,
            "quantity": self.asked_quantity,
            "pair": self.asked_pair,
        }
        return makers[kind]() if kind in makers else self.one(KINDS[kind])

    def query(self) -> str:
        """Return `Type?parameters` with one to three criteria, some with alternatives."""
        resource_type = self.one(["Observation", "Observation", "Patient", "Encounter", "Condition"])
        names = self.random.sample(sorted(PARAMETERS[resource_type]), self.one([1, 1, 1, 2, 3]))
        pairs = []
        for name in names:
            kind = PARAMETERS[resource_type][name]
            values = [self.value(kind)] if kind == "boolean" or self.maybe() else [self.value(kind), self.value(kind)]
            pairs.append(f"{name}={quote(','.join(values), safe=':/|,$')}")
        return f"{resource_type}?{'&'.join(pairs)}"


KINDS: dict[str, tuple[str, ...]] = {
    "boolean": ("true", "false"),
    "gender": ("male", "female", "http://hl7.org/fhir/administrative-gender|male"),
    "name": ("mul", "MÜLLER", "anna maria", "anna maria x", "%", "smith_", "o'n", "ase", "x", "m"),
    "exact": NAMES,
    "part": ("ll", "%", "ria", "_", "e"),
    "identifier": ("A1", "a1", "urn:mrn|A1", "urn:other|B2", "|A1", "urn:mrn|"),
    "typed": ("http://t|MR|A1", "http://t|mr|B2", "http://x|MR|A1"),
    "patient": ("p1", "p2", "Patient/p1", "Patient/p3", "https://fhir.example.org/fhir/Patient/p2"),
    "subject": ("p1", "Patient/p2", "Group/g1", "g1", "urn:uuid:1", "Patient/p1/_history/2"),
    "subject id": ("p1", "p2"),
    "logical": ("urn:mrn|A1", "A1", "x|A1"),
    "doctor": ("d1", "Practitioner/d1"),
    "performer": ("Practitioner/d1", "d1", "Patient/p1", "p2"),
    "status": ("final", "amended", "http://hl7.org/fhir/observation-status|final"),
    "observation": ("Observation/o1", "o1"),
    "patient id": ("p1", "p3", "p9"),
    "observation id": ("o1", "o2", "o9", "o99"),
}
PARAMETERS: dict[str, dict[str, str]] = {
    "Patient": {
        "gender": "gender",
        "gender:not": "gender",
        "active": "boolean",
        "birthdate": "date",
        "birthdate:missing": "boolean",
        "name": "name",
        "name:exact": "exact",
        "name:contains": "part",
        "given": "name",
        "identifier": "identifier",
        "identifier:of-type": "typed",
        "general-practitioner": "doctor",
        "_id": "patient id",
        "_has:Observation:patient:code": "token",
        "_has:Observation:subject:date": "date",
        "_has:Observation:performer:status": "status",
        "_has:Condition:asserter:code": "token",
        "_has:Observation:patient:_has:Observation:has-member:code": "token",
    },
    "Observation": {
        "code": "token",
        "code:not": "token",
        "category": "token",
        "status": "status",
        "status:missing": "boolean",
        "combo-code": "token",
        "component-code": "token",
        "date": "date",
        "date:missing": "boolean",
        "value-quantity": "quantity",
        "value-quantity:missing": "boolean",
        "combo-value-quantity": "quantity",
        "value-string": "name",
        "value-concept": "token",
        "code-value-quantity": "pair",
        "component-code-value-quantity": "pair",
        "combo-code-value-quantity": "pair",
        "patient": "patient",
        "subject": "subject",
        "subject:Patient": "subject id",
        "subject:identifier": "logical",
        "subject:missing": "boolean",
        "patient:missing": "boolean",
        "performer": "performer",
        "has-member": "observation",
        "patient.name": "name",
        "patient.identifier": "identifier",
        "subject.active": "boolean",
        "subject:Group.actual": "boolean",
        "subject.birthdate": "date",
        "performer:Patient.gender": "gender",
        "has-member.code": "token",
        "has-member.patient.gender": "gender",
        "_id": "observation id",
    },
    "Encounter": {
        "date": "date",
        "class": "token",
        "patient": "patient",
        "subject": "subject",
        "patient.gender": "gender",
        "patient:missing": "boolean",
    },
    "Condition": {
        "recorded-date": "date",
        "onset-date": "date",
        "patient": "patient",
        "asserter": "performer",
        "code": "token",
    },
}
