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
UCUM = "http://unitsofmeasure.org"
UNITS = (
    ("mg", UCUM),
    ("g", UCUM),
    ("kg", UCUM),
    ("Cel", UCUM),
    ("[degF]", UCUM),
    ("mm[Hg]", UCUM),
    ("kPa", UCUM),
    ("tablet", "http://local"),
)
NUMBERS = ("5", "5.0", "5.4", "0.005", "5000", "-1", "0", "100", "37.7778", "1e2", "0.6666666666666666666666666666667")
TIMINGS = (
    {"event": ["2013-01-14", "2013-02"]},
    {"repeat": {"boundsPeriod": {"start": "2013-01-14"}}},
    {"event": ["2012-12-31"], "repeat": {"boundsPeriod": {"end": "2013-01"}}},
    {"code": {"text": "daily"}},
)
TEXTS = ("Blood pressure", "blóod  Sugar", "Größe", "100% O2", "x_y")
URIS = ("http://a.example/b", "http://a.example/b/c", "http://a.example/b/c|1.0", "http://a.example/bc", "urn:x:y")
SETS = ("http://sets.example/one", "http://sets.example/two", "http://sets.example/whole", "http://sets.example/below")
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
        return self.having(
            {"code": self.one(CODES)}, {"system": lambda: self.one(SYSTEMS), "display": lambda: self.one(TEXTS)}
        )

    def concept(self) -> Resource:
        return self.having({}, {"coding": lambda: self.some(self.coding), "text": lambda: self.one(TEXTS)})

    def meta(self) -> Resource:
        return self.having(
            {},
            {
                "tag": lambda: self.some(self.coding),
                "profile": lambda: self.random.sample(URIS, 2),
                "source": lambda: self.one(URIS),
            },
        )

    def age(self) -> Resource:
        unit = {"system": UCUM, "code": self.one(["kg", "g"])}
        return {"value": Decimal(self.one(NUMBERS))} | unit

    def between(self) -> Resource:
        least, most = sorted((Decimal(self.one(NUMBERS)), Decimal(self.one(NUMBERS))))
        unit = {"system": UCUM, "code": self.one(["kg", "g"])}
        ends = {"low": {"value": least} | unit, "high": {"value": most} | unit}
        return {name: ends[name] for name in self.one([("low", "high"), ("low",), ("high",)])}

    def either(self, resource: Resource, choices: Mapping[str, Callable[[], Any]]) -> Resource:
        """Add one of the choices of an element, or none."""
        name = self.one([*choices, ""])
        return resource | ({name: choices[name]()} if name else {})

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
        kind = (
            {"type": {"coding": [{"system": "http://t", "code": "MR"}], "text": self.one(TEXTS)}}
            if self.maybe()
            else {}
        )
        system = {"system": self.one(["urn:mrn", "urn:other"])} if self.maybe(0.8) else {}
        return {"value": self.one(["A1", "a1", "B2"])} | system | kind

    def name(self) -> Resource:
        return self.having({"family": self.one(NAMES)}, {"given": lambda: self.some(lambda: self.one(NAMES))})

    def contact(self) -> Resource:
        return self.having({"value": self.one(["555", "a@b"])}, {"system": lambda: self.one(["phone", "email"])})

    def patient(self, name: str) -> Resource:
        start = {"resourceType": "Patient", "id": name}
        return self.having(
            self.either(
                start, {"deceasedBoolean": lambda: self.maybe(0.5), "deceasedDateTime": lambda: self.one(DATES)}
            ),
            {
                "meta": self.meta,
                "telecom": lambda: self.some(self.contact),
                "address": lambda: [{"city": self.one(NAMES), "line": [self.one(NAMES)]}],
                "communication": lambda: [{"language": self.concept()}],
                "gender": lambda: self.one(["male", "female", "other"]),
                "birthDate": lambda: self.one(DAYS),
                "active": lambda: self.maybe(0.5),
                "name": lambda: self.some(self.name),
                "identifier": lambda: self.some(self.identifier),
                "generalPractitioner": lambda: [{"reference": "Practitioner/d1"}],
            },
        )

    def observation(self, name: str) -> Resource:
        when, what = (
            self.one(["dateTime", "dateTime", "period", ""]),
            self.one(["quantity", "string", "concept", "date", ""]),
        )
        found = self.having(
            {"resourceType": "Observation", "id": name, "code": self.concept()},
            {
                "meta": self.meta,
                "identifier": lambda: self.some(self.identifier),
                "encounter": lambda: {"reference": f"Encounter/{self.one(['e0', 'e1', 'e9'])}"},
                "status": lambda: self.one(["final", "amended"]),
                "category": lambda: self.some(self.concept),
                "subject": self.subject,
                "performer": lambda: self.some(self.person),
                "component": lambda: self.some(
                    lambda: self.either(
                        {"code": self.concept()},
                        {"valueQuantity": self.quantity, "valueCodeableConcept": self.concept},
                    )
                ),
                "hasMember": lambda: self.some(lambda: {"reference": f"Observation/o{self.random.randrange(4)}"}),
            },
        )
        dates = {"dateTime": ("effectiveDateTime", DATES), "period": ("effectivePeriod", PERIODS)}
        values = {
            "quantity": ("valueQuantity", self.quantity()),
            "string": ("valueString", self.one(NAMES)),
            "concept": ("valueCodeableConcept", self.concept()),
            "date": ("valueDateTime", self.one(DATES)),
        }
        if when:
            found[dates[when][0]] = self.one(dates[when][1])
        if what:
            found[values[what][0]] = values[what][1]
        return found

    def encounter(self, name: str) -> Resource:
        start = {"resourceType": "Encounter", "id": name, "status": "finished", "class": self.coding()}
        return self.having(
            start,
            {
                "subject": self.subject,
                "period": lambda: self.one(PERIODS),
                "partOf": lambda: {"reference": f"Encounter/e{self.random.randrange(4)}"},
                "type": lambda: self.some(self.concept),
            },
        )

    def request(self, name: str) -> Resource:
        start = {"resourceType": "ServiceRequest", "id": name, "intent": "order", "subject": self.subject()}
        occurrences = {
            "occurrenceDateTime": lambda: self.one(DATES),
            "occurrencePeriod": lambda: self.one(PERIODS),
            "occurrenceTiming": lambda: self.one(TIMINGS),
        }
        return self.having(
            self.either(start, occurrences),
            {
                "status": lambda: self.one(["active", "completed"]),
                "instantiatesUri": lambda: self.some(lambda: self.one(URIS)),
                "instantiatesCanonical": lambda: self.some(lambda: self.one(URIS)),
                "authoredOn": lambda: self.one(DATES),
                "requester": self.person,
            },
        )

    def charge(self, name: str) -> Resource:
        start = {"resourceType": "ChargeItem", "id": name, "status": "billable", "subject": self.subject()}
        return self.having(start, {"factorOverride": lambda: Decimal(self.one(NUMBERS))})

    def condition(self, name: str) -> Resource:
        start = {"resourceType": "Condition", "id": name, "subject": self.subject(), "code": self.concept()}
        onsets = {
            "onsetDateTime": lambda: self.one(DATES),
            "onsetAge": self.age,
            "onsetRange": self.between,
            "onsetString": lambda: self.one(NAMES),
        }
        return self.having(
            self.either(start, onsets),
            {
                "recordedDate": lambda: self.one(DATES),
                "asserter": self.person,
                "evidence": lambda: [{"code": self.some(self.concept)}],
            },
        )

    def terminology(self) -> list[Resource]:
        """Return a hierarchy of the codes of one system, and value sets of codes."""
        deep = [{"code": "1-1", "concept": [{"code": "2-2", "concept": [{"code": "A"}]}]}, {"code": "b"}]
        hierarchy = {"resourceType": "CodeSystem", "id": "codes", "url": SYSTEMS[0], "content": "complete"}
        one, two, whole, below = SETS
        listed = {"system": SYSTEMS[0], "concept": [{"code": code} for code in self.random.sample(CODES[:3], 2)]}
        others = {"system": self.one(SYSTEMS), "concept": [{"code": self.one(CODES)}]}
        narrowed = {"property": "concept", "op": "is-a", "value": self.one(["1-1", "2-2", "A"])}
        definitions = {
            one: {"include": [listed, others]},
            two: {"include": [{"valueSet": [one]}], "exclude": [others]},
            whole: {"include": [{"system": self.one(SYSTEMS)}]},
            below: {"include": [{"system": SYSTEMS[0], "filter": [narrowed]}]},
        }
        return [
            {**hierarchy, "status": "active", "concept": deep},
            *(
                {
                    "resourceType": "ValueSet",
                    "id": f"s{at}",
                    "url": url,
                    "status": "active",
                    "compose": definitions[url],
                }
                for at, url in enumerate(SETS)
            ),
        ]

    def world(self) -> list[Resource]:
        """Return some twenty resources with ids."""
        return [
            *(self.patient(name) for name in PATIENTS),
            {"resourceType": "Group", "id": "g1", "type": "person", "actual": self.maybe(0.5)},
            *(self.observation(f"o{at}") for at in range(10)),
            *(self.encounter(f"e{at}") for at in range(4)),
            *(self.condition(f"c{at}") for at in range(4)),
            *(self.request(f"r{at}") for at in range(4)),
            *(self.charge(f"f{at}") for at in range(3)),
            {"resourceType": "Practitioner", "id": "d1", "name": [{"family": self.one(NAMES)}]},
            *self.terminology(),
        ]

    # --- searches ---

    def prefixed(self, values: Sequence[str]) -> str:
        return f"{self.one(PREFIXES)}{self.one(values)}"

    def asked_date(self) -> str:
        return self.prefixed(DATES)

    def asked_token(self) -> str:
        code = self.one(CODES)
        return self.one([code, code, code, f"{self.one(SYSTEMS)}|{code}", f"|{code}", f"{self.one(SYSTEMS)}|"])

    def asked_code(self) -> str:
        """Return a token with a code: what composites with rows of their own take."""
        code = self.one(CODES)
        return f"{self.one([*SYSTEMS, ''])}|{code}" if self.maybe(0.4) else code

    def asked_quantity(self) -> str:
        unit, system = self.one(UNITS)
        form = self.one(["", "", f"|{system}|{unit}", f"||{unit}"])
        return self.prefixed(NUMBERS) + form

    def asked_pair(self) -> str:
        return f"{self.asked_code()}${self.asked_quantity()}"

    def value(self, kind: str) -> str:
        """Return a value of one of KINDS."""
        makers: dict[str, Callable[[], str]] = {
            "date": self.asked_date,
            "token": self.asked_token,
            "quantity": self.asked_quantity,
            "pair": self.asked_pair,
            "pair of codes": lambda: f"{self.asked_code()}${self.asked_code()}",
            "pair of tokens": lambda: f"{self.asked_token()}${self.asked_token()}",
            "code and date": lambda: f"{self.asked_token()}${self.asked_date()}",
            "code and name": lambda: f"{self.asked_code()}${self.one(KINDS['name'])}",
            "number": lambda: self.prefixed(NUMBERS),
        }
        return makers[kind]() if kind in makers else self.one(KINDS[kind])

    def query(self, *, terminology: bool = True) -> str:
        """Return `Type?parameters` with one to three criteria, some with alternatives."""
        resource_type = self.one(["Observation", "Observation", "Observation", *PARAMETERS])
        names = self.random.sample(sorted(PARAMETERS[resource_type]), self.one([1, 1, 1, 2, 3]))
        pairs = []
        for name in names:
            kind = PARAMETERS[resource_type][name]
            if kind in OF_TERMINOLOGY and not terminology:
                continue
            values = [self.value(kind)] if kind == "boolean" or self.maybe() else [self.value(kind), self.value(kind)]
            pairs.append(f"{name}={quote(','.join(values), safe=':/|,$')}")
        return f"{resource_type}?{'&'.join(pairs)}"

    def order(self, query: str) -> str:
        """Return `&_sort=…` with one to three keys of the query's type, or nothing."""
        known = sorted(ORDERS[query.partition("?")[0]])
        keys = self.random.sample(known, min(self.one([0, 1, 1, 2, 3]), len(known)))
        return f"&_sort={','.join(self.one(['', '-']) + key for key in keys)}" if keys else ""

    def includes(self, query: str) -> str:
        """Return up to three includes for the query's type."""
        known = INCLUDES[query.partition("?")[0]]
        return "".join(f"&{each}" for each in self.random.sample(known, min(self.one([0, 1, 2, 3]), len(known))))


OF_TERMINOLOGY = frozenset({"set", "place"})
"""Kinds of value that only those understand who may see value sets and code systems."""

KINDS: dict[str, tuple[str, ...]] = {
    "text": ("blood", "BLOOD sug", "pressure", "gross", "100%", "x_", "%"),
    "set": SETS,
    "place": tuple(f"{SYSTEMS[0]}|{code}" for code in ("1-1", "2-2", "a", "b", "zzz")),
    "uri": (*URIS, "http://a.example", "http://a.example/b/c/d", "http://a.example/b/"),
    "source": tuple(uri for uri in URIS if "|" not in uri),
    "contact": ("555", "phone|555", "email|555", "phone|", "|a@b"),
    "encounter": ("e0", "Encounter/e1", "e9"),
    "updated": ("gt2020", "lt2020", "2013", "ge2100", "ne2013", "sa2020"),
    "request status": ("active", "http://hl7.org/fhir/request-status|", "http://other|"),
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
        "_has:Observation:patient:_has:Observation:has-member:_has:Observation:has-member:status": "status",
        "_has:Observation:patient:encounter.class": "token",
        "_has:Observation:patient:code:text": "text",
        "_has:Observation:patient:code:in": "set",
        "_has:Condition:patient:code:not-in": "set",
        "_has:ServiceRequest:patient:occurrence": "date",
        "_lastUpdated": "updated",
        "_tag": "token",
        "_tag:not": "token",
        "_tag:text": "text",
        "_profile": "uri",
        "_profile:below": "uri",
        "_profile:above": "uri",
        "_source:above": "source",
        "address": "name",
        "address-city:contains": "part",
        "active:not": "boolean",
        "deceased": "boolean",
        "death-date": "date",
        "telecom": "contact",
        "phone": "contact",
        "identifier:text": "text",
        "identifier:not": "identifier",
        "language": "token",
        "language:text": "text",
        "language:in": "set",
    },
    "Observation": {
        "code": "token",
        "code:not": "token",
        "code:text": "text",
        "code:in": "set",
        "code:not-in": "set",
        "code:below": "place",
        "code:above": "place",
        "combo-code:text": "text",
        "combo-code:in": "set",
        "combo-code:not": "token",
        "component-code:below": "place",
        "identifier": "identifier",
        "identifier:text": "text",
        "encounter": "encounter",
        "encounter.class": "token",
        "encounter.type:text": "text",
        "encounter.part-of.class": "token",
        "encounter.subject:Patient.gender": "gender",
        "patient._has:Condition:patient:code": "token",
        "patient._has:Observation:patient:_has:Observation:has-member:status": "status",
        "patient.language:text": "text",
        "patient.language:in": "set",
        "subject._tag": "token",
        "_profile": "uri",
        "_source": "source",
        "_source:below": "source",
        "_tag": "token",
        "value-date": "date",
        "code-value-concept": "pair of tokens",
        "code-value-date": "code and date",
        "code-value-string": "code and name",
        "combo-code-value-concept": "pair of codes",
        "component-code-value-concept": "pair of codes",
        "component-value-concept": "token",
        "combo-value-concept:text": "text",
        "component-value-quantity": "quantity",
        "category": "token",
        "category:text": "text",
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
        "part-of": "encounter",
        "part-of.part-of.class": "token",
        "type": "token",
        "type:text": "text",
        "_has:Observation:encounter:code": "token",
        "_has:Observation:encounter:date": "date",
        "_has:Encounter:part-of:_has:Observation:encounter:status": "status",
    },
    "ServiceRequest": {
        "occurrence": "date",
        "occurrence:missing": "boolean",
        "authored": "date",
        "status": "request status",
        "status:not": "request status",
        "instantiates-uri": "source",
        "instantiates-uri:below": "source",
        "instantiates-uri:above": "source",
        "instantiates-canonical": "uri",
        "requester": "performer",
        "patient.birthdate": "date",
        "subject:identifier": "logical",
    },
    "ChargeItem": {
        "factor-override": "number",
        "factor-override:missing": "boolean",
        "patient": "patient",
    },
    "Condition": {
        "recorded-date": "date",
        "onset-date": "date",
        "onset-age": "quantity",
        "onset-info": "name",
        "evidence": "token",
        "evidence:below": "place",
        "code:not-in": "set",
        "code:text": "text",
        "asserter:Patient.name": "name",
        "patient": "patient",
        "asserter": "performer",
        "code": "token",
    },
}

ORDERS: dict[str, tuple[str, ...]] = {
    "Patient": (
        "_id", "_lastUpdated", "_profile", "_source", "_tag", "active", "address-city", "birthdate", "death-date",
        "deceased", "family", "gender", "general-practitioner", "given", "identifier", "language", "name", "telecom",
    ),
    "Observation": (
        "_id", "_profile", "category", "code", "combo-code", "combo-value-quantity", "component-value-quantity", "date",
        "encounter", "has-member", "identifier", "patient", "performer", "status", "subject", "value-concept",
        "value-date", "value-quantity", "value-string",
    ),
    "Encounter": ("class", "date", "part-of", "subject", "type", "_id"),
    "ServiceRequest": (
        "authored", "instantiates-canonical", "instantiates-uri", "intent", "occurrence", "patient", "requester",
        "status",
    ),
    "ChargeItem": ("factor-override", "_id", "subject"),
    "Condition": ("asserter", "code", "evidence", "onset-age", "onset-date", "onset-info", "recorded-date", "subject"),
}  # fmt: skip
"""Parameters to sort by, of every kind that has an order."""

INCLUDES: dict[str, tuple[str, ...]] = {
    "Patient": (
        "_include=Patient:general-practitioner",
        "_revinclude=Observation:patient",
        "_revinclude=Observation:subject:Patient",
        "_revinclude=Observation:performer",
        "_revinclude=Condition:*",
        "_revinclude:iterate=Observation:has-member",
        "_include:iterate=Observation:encounter",
    ),
    "Observation": (
        "_include=Observation:subject",
        "_include=Observation:subject:Group",
        "_include=Observation:patient",
        "_include=Observation:*",
        "_include=*",
        "_include:iterate=Observation:has-member",
        "_include:iterate=Encounter:part-of",
        "_include:iterate=Patient:general-practitioner",
        "_revinclude=Observation:has-member",
        "_revinclude:iterate=Observation:has-member",
    ),
    "Encounter": (
        "_include:iterate=Encounter:part-of",
        "_revinclude=Observation:encounter",
        "_include=Encounter:patient",
    ),
    "ServiceRequest": ("_include=ServiceRequest:requester:Patient", "_include=ServiceRequest:*"),
    "ChargeItem": ("_include=ChargeItem:subject",),
    "Condition": ("_include=Condition:asserter", "_include=Condition:patient"),
}
