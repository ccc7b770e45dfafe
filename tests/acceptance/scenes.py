"""Drawn records of several patients and two organizations, and who may see which row of them (settled §4.8).

`Scene` draws the rows; `Caller.sees` is a model of access that knows nothing of the server's: of which patient a row is
was decided when it was drawn. Rows resemble each other: codes, identifiers, dates, canonicals and texts come from small
pools, so that hidden rows answer to whatever finds visible ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

Resource = dict[str, Any]

OWN: Final = "m-own"
PATIENTS: Final = ("a-first", OWN, "z-last")
"""The caller's patient lies between the others, whatever the order."""
SECRET_WORD: Final = "Obsidian"
"""What every hidden row holds."""
WORD: Final = "Marble"
LOINC: Final = "http://loinc.org"
CODES: Final = ("29463-7", "2345-7", "mood", "A")
SYSTEMS: Final = (LOINC, "http://own.example")
DATES: Final = ("2019", "2020-03", "2020-03-01", "2020-03-02T08:00:00Z", "2020-03-02T10:00:00.5+02:00", "2021-01-31")
DAYS: Final = ("2020-03-01T08:00:00Z", "2020-03-02T08:00:00Z", "2020-03-28T23:59:59Z", "2019-12-31T00:00:00Z")
CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
URIS: Final = ("http://own.example/a", "http://own.example/a/b", "http://own.example/c")
NAMES: Final = ("Chalmers", "Müller", "Windsor")
MRN: Final = "http://example.org/mrn"
DIRECTORY: Final = frozenset({"Practitioner", "PractitionerRole", "Organization", "Location", "Medication"})


@dataclass
class Row:
    """One resource with its earlier versions.

    `owners` are the patients whose compartment it is in. `elsewhere` rows belong to the other organization. Where
    `past` versions were another patient's, both servers have them, with different contents.
    """

    resource: Resource
    owners: frozenset[str] = frozenset()
    elsewhere: bool = False
    past: list[tuple[Resource, Resource]] = field(default_factory=list)
    """Earlier versions: as the server without hidden rows is told them, and as the other one is."""
    deleted: bool = False
    held: bool = False
    """Hidden rows refer to it: a deletion tells (settled §3.5)."""

    @property
    def key(self) -> str:
        return f"{self.resource['resourceType']}/{self.resource['id']}"


@dataclass(frozen=True)
class Caller:
    """One kind of caller.

    `reach` says per type (`*`: every other) what is visible: words out of `own` (the patient's compartment) and `all`,
    each with `:name` of one of FILTERS for a granular scope, or `agreed` (OWN is the one patient who agreed to share);
    none is empty.
    """

    name: str
    scope: str
    reach: Mapping[str, str]
    role: str = "APP"
    patient: str | None = None
    fhir_user: str | None = None
    is_partner: bool = False

    @property
    def is_bound(self) -> bool:
        """Whether it goes nowhere beyond one compartment: what hidden rows refer to it may delete."""
        return all(way.partition(":")[0] == "own" for ways in self.reach.values() for way in ways.split())

    def sees(self, row: Row) -> bool:
        kind = row.resource["resourceType"]
        if row.elsewhere:
            return False
        if row.key == self.fhir_user:
            return True
        return any(self._sees(row, way) for way in self.reach.get(kind, self.reach.get("*", "")).split())

    def _sees(self, row: Row, way: str) -> bool:
        extent, _, name = way.partition(":")
        if name and not FILTERS[name](row.resource):
            return False
        if extent == "agreed":
            return row.owners == {OWN}
        return extent == "all" or row.resource["resourceType"] in DIRECTORY or self.patient in row.owners


def has_coding(element: str, system: str, code: str) -> Callable[[Resource], bool]:
    """Return what `?element=system|code` asks."""

    def asked(resource: Resource) -> bool:
        concepts = resource.get(element, ())
        codings = [
            each for concept in ([concepts] if isinstance(concepts, dict) else concepts) for each in concept["coding"]
        ]
        return {"system": system, "code": code} in codings

    return asked


FILTERS: Final = {
    "laboratory": has_coding("category", CATEGORY, "laboratory"),
    "mood": has_coding("code", LOINC, "mood"),
    "final-mood": lambda each: each["status"] == "final" and has_coding("code", LOINC, "mood")(each),
}
LABORATORY: Final = f"category={CATEGORY}|laboratory"

CALLERS: Final = (
    Caller("an app of one patient", "patient/*.cruds", {"*": "own"}, patient=OWN),
    Caller(
        "a patient", "patient/*.cruds user/*.cruds", {"*": "own"}, "PATIENT", patient=OWN, fhir_user=f"Patient/{OWN}"
    ),
    Caller(
        "a proxy", "user/*.cruds openid fhirUser", {"*": "own"}, "PATIENT", patient=OWN, fhir_user="Patient/a-first"
    ),
    Caller("a clinician", "user/*.cruds", {"*": "all"}, "CLINICIAN", fhir_user="Practitioner/doctor"),
    Caller(
        "a backend with few types",
        "system/Observation.cruds system/Encounter.rs system/Patient.r system/Practitioner.s",
        {"Observation": "all", "Encounter": "all", "Patient": "all", "Practitioner": "all"},
        "SERVICE",
    ),
    Caller(
        "an app with few types",
        "patient/Observation.rs patient/Condition.cruds patient/Patient.r patient/Group.rs patient/Provenance.rs",
        {"Observation": "own", "Condition": "own", "Patient": "own", "Group": "own", "Provenance": "own"},
        patient=OWN,
    ),
    Caller(
        "a clinician with one patient and all conditions",
        "patient/*.rs user/Condition.cruds user/Encounter.s",
        {"*": "own", "Condition": "all", "Encounter": "all"},
        "CLINICIAN",
        patient=OWN,
    ),
    Caller(
        "an app of laboratory results",
        f"patient/Observation.cruds?{LABORATORY} patient/Condition.rs?code={LOINC}|mood patient/Patient.rs "
        "patient/Encounter.rs patient/DiagnosticReport.rs patient/Provenance.rs",
        {
            "Observation": "own:laboratory",
            "Condition": "own:mood",
            **dict.fromkeys(("Patient", "Encounter", "DiagnosticReport", "Provenance"), "own"),
        },
        patient=OWN,
    ),
    Caller(
        "a clinician with laboratory results",
        f"user/Observation.rs?{LABORATORY} user/Observation.cruds?status=final&code={LOINC}|mood "
        f"patient/Observation.rs user/Condition.cruds?code={LOINC}|mood user/Patient.rs user/Encounter.cruds",
        {
            "Observation": "own all:laboratory all:final-mood",
            "Condition": "all:mood",
            **dict.fromkeys(("Patient", "Encounter"), "all"),
        },
        "CLINICIAN",
        patient=OWN,
    ),
    Caller(
        "a partner",
        "system/*.cruds",
        {"*": "agreed", **dict.fromkeys((*DIRECTORY, "ValueSet", "CodeSystem", "Questionnaire"), "all")},
        "SERVICE",
        is_partner=True,
    ),
    Caller("an app of a partner", "patient/*.rs", {"*": "own"}, patient=OWN, is_partner=True),
)


@dataclass(frozen=True)
class Step:
    """One request by which a server is told a row: `contents` as without hidden rows, and as with them."""

    row: Row
    contents: tuple[Resource, Resource] | None
    """None: a deletion."""


class Scene:
    """The rows of one seed, and the steps by which they are written: a second each."""

    def __init__(self, seed: int, caller: Caller) -> None:
        self.random = Random(seed)
        self.caller = caller
        self.number = 0
        self.rows = self._drawn()
        self._keep_apart()
        self.steps = self._told()

    # --- small things ---

    def one(self, values: Any) -> Any:
        return self.random.choice(values)

    def maybe(self, likelihood: float = 0.5) -> bool:
        return self.random.random() < likelihood

    def name(self) -> str:
        """Return a new id: ids of all patients' rows are mixed."""
        self.number += 1
        return f"{self.one('bdfhkmprtw')}{self.number}"

    def coding(self, systems: Any = SYSTEMS, codes: Any = CODES) -> Resource:
        return {"system": self.one(systems), "code": self.one(codes)}

    def concept(self) -> Resource:
        return {"coding": [self.coding() for _ in range(self.one([1, 1, 2]))]} | self.text()

    def text(self) -> Resource:
        return {"text": f"Headache {WORD}"} if self.maybe() else {}

    def category(self) -> list[Resource]:
        return [{"coding": [self.coding([CATEGORY], ["laboratory", "vital-signs"])]}]

    def quantity(self) -> Resource:
        unit = self.one(["kg", "g"])
        return {"value": self.one([1, 5, 70, 500]), "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}

    def identifiers(self) -> list[Resource]:
        return [{"system": self.one([MRN, "urn:other"]), "value": self.one(["1", "2", "hidden"])}]

    def refer(self, kind: str) -> Resource:
        """Return a reference to some resource of a type, whoever's it is, sometimes to a version or to nothing."""
        named = [row.resource["id"] for row in self._written if row.resource["resourceType"] == kind]
        return {"reference": f"{kind}/{self.one([*named, 'nobody'])}{self.one(['', '', '', '/_history/1'])}"}

    # --- resources ---

    def about(self, kind: str, who: str) -> Resource:
        """Return a clinical resource about a patient."""
        subject = {"reference": f"Patient/{who}"}
        start: Resource = {"resourceType": kind, "id": self.name(), "subject": subject}
        more = getattr(self, f"_{kind.lower()}")()
        if kind in PATIENT_OF:
            start["patient"] = start.pop("subject")
        return start | more

    def _observation(self) -> Resource:
        found: Resource = {
            "status": self.one(["final", "amended"]),
            "code": self.concept(),
            "category": self.category(),
            "effectiveDateTime": self.one(DATES),
            "note": [{"text": WORD}],
        }
        values: tuple[tuple[str, Any], ...] = (
            ("valueQuantity", self.quantity()),
            ("valueCodeableConcept", self.concept()),
            ("valueString", self.one(NAMES)),
            ("component", [{"code": self.concept(), "valueQuantity": self.quantity()}]),
            ("valueDateTime", self.one(DATES)),
        )
        name, value = self.one(values)
        found[name] = value
        found |= self._some(
            performer=lambda: [self.one([self.refer("Patient"), self.refer("Practitioner")])],
            hasMember=lambda: [self.refer("Observation")],
            encounter=lambda: self.refer("Encounter"),
            basedOn=lambda: [self.one([self.refer("CarePlan"), self.refer("ServiceRequest")])],
            identifier=self.identifiers,
            focus=lambda: [self.refer("Condition")],
            device=lambda: self.refer("Device"),
        )
        return found

    def _condition(self) -> Resource:
        clinical = self.coding(["http://terminology.hl7.org/CodeSystem/condition-clinical"], ["active"])
        return {"code": self.concept(), "clinicalStatus": {"coding": [clinical]}} | self._some(
            onsetDateTime=lambda: self.one(DATES),
            encounter=lambda: self.refer("Encounter"),
            asserter=lambda: self.one([self.refer("Patient"), self.refer("Practitioner")]),
            evidence=lambda: [{"detail": [self.refer("Observation")]}],
            identifier=self.identifiers,
        )

    def _encounter(self) -> Resource:
        return {
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": self.one(["AMB", "EMER"])},
            "reasonCode": [{"text": WORD}],
        } | self._some(
            partOf=lambda: self.refer("Encounter"),
            period=lambda: {"start": self.one(DAYS)},
            participant=lambda: [{"individual": self.refer("Practitioner")}],
            diagnosis=lambda: [{"condition": self.refer("Condition")}],
            serviceProvider=lambda: self.refer("Organization"),
        )

    def _medicationrequest(self) -> Resource:
        return {
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": self.concept(),
            "requester": self.one([self.refer("Practitioner"), self.refer("Patient")]),
            "authoredOn": self.one(DATES),
            "note": [{"text": WORD}],
        }

    def _careplan(self) -> Resource:
        return {"status": "active", "intent": "plan", "title": WORD, "category": [self.concept()]} | self._some(
            goal=lambda: [self.refer("Goal")],
            addresses=lambda: [self.refer("Condition")],
            careTeam=lambda: [self.refer("CareTeam")],
            activity=lambda: [{"reference": self.refer("ServiceRequest")}],
            instantiatesCanonical=lambda: [self.one(URIS)],
        )

    def _goal(self) -> Resource:
        return {"lifecycleStatus": "active", "description": {"text": WORD}, "startDate": "2020-03-01"}

    def _careteam(self) -> Resource:
        member = self.one([self.refer("Patient"), self.refer("Practitioner")])
        return {"status": "active", "name": WORD, "participant": [{"member": member}]}

    def _diagnosticreport(self) -> Resource:
        found = {"status": "final", "code": self.concept(), "category": [self.concept()]}
        return found | self._some(
            result=lambda: [self.refer("Observation")],
            encounter=lambda: self.refer("Encounter"),
            effectiveDateTime=lambda: self.one(DATES),
            performer=lambda: [self.refer("Practitioner")],
        )

    def _servicerequest(self) -> Resource:
        return {
            "status": "active",
            "intent": "order",
            "code": self.concept(),
            "authoredOn": self.one(DATES),
        } | self._some(
            requester=lambda: self.refer("Practitioner"),
            performer=lambda: [self.refer("Patient")],
            instantiatesUri=lambda: [self.one(URIS)],
            basedOn=lambda: [self.refer("CarePlan")],
        )

    def _allergyintolerance(self) -> Resource:
        clinical = self.coding(["http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"], ["active"])
        start = {"code": self.concept(), "clinicalStatus": {"coding": [clinical]}, "recordedDate": self.one(DATES)}
        return start | self._some(recorder=lambda: self.refer("Patient"), asserter=lambda: self.refer("Practitioner"))

    def _consent(self) -> Resource:
        scope = self.coding(["http://terminology.hl7.org/CodeSystem/consentscope"], ["patient-privacy"])
        policy = {"policy": [{"uri": self.one(URIS)}]}
        return {"status": "active", "scope": {"coding": [scope]}, "category": [self.concept()], **policy}

    def _relatedperson(self) -> Resource:
        return {"name": [{"family": self.one(NAMES)}], "birthDate": "1974-12-25", "identifier": self.identifiers()}

    def _device(self) -> Resource:
        return {"status": "active", "type": self.concept(), "deviceName": [{"name": WORD, "type": "other"}]}

    def _list(self) -> Resource:
        items = [{"item": self.refer(self.one(["Observation", "Condition"]))} for _ in range(2)]
        return {"status": "current", "mode": "working", "code": self.concept(), "entry": items}

    def _questionnaireresponse(self) -> Resource:
        return {"status": "completed", "authored": self.one(DAYS), "questionnaire": self.one(URIS)} | self._some(
            author=lambda: self.refer("Patient"), encounter=lambda: self.refer("Encounter")
        )

    def _documentreference(self) -> Resource:
        title = {"attachment": {"contentType": "text/plain", "title": WORD}}
        return {"status": "current", "type": self.concept(), "content": [title]} | self._some(
            author=lambda: [self.refer("Patient")], relatesTo=lambda: [self._related()]
        )

    def _related(self) -> Resource:
        return {"code": "appends", "target": self.refer("DocumentReference")}

    def _some(self, **makers: Callable[[], Any]) -> Resource:
        return {name: make() for name, make in makers.items() if self.maybe()}

    def _patient_resource(self, who: str) -> Resource:
        return {
            "resourceType": "Patient",
            "id": who,
            "name": [{"family": self.one(NAMES), "given": ["Peter"]}],
            "identifier": self.identifiers(),
            "birthDate": self.one(["1974-12-25", "1980-01-01"]),
            "gender": self.one(["male", "female"]),
            "contact": [{"name": {"text": WORD}}],
            "generalPractitioner": [{"reference": "Practitioner/doctor"}],
        } | self._some(link=lambda: [{"other": self.refer("Patient"), "type": "seealso"}])

    # --- rows ---

    def _drawn(self) -> list[Row]:
        self._written: list[Row] = []
        add = self._written.append
        for each in self._directory():
            add(Row(each))
        for who in PATIENTS:
            add(Row(self._patient_resource(who), frozenset({who})))
        for _ in range(42):
            who = self.one([OWN, OWN, *PATIENTS])
            add(Row(self.about(self.one(KINDS), who), frozenset({who})))
        for _ in range(6):
            add(self._shared())
        for each in self._terminology():
            add(Row(each))
        for _ in range(9):
            add(self._moved())
        for _ in range(3):
            who = self.one(PATIENTS)
            add(Row(self.about("Observation", who), frozenset({who}), deleted=True))
        return self._written

    def _directory(self) -> list[Resource]:
        names = {"name": [{"family": self.one(NAMES)}]}
        clinic = {"managingOrganization": self.refer("Organization")}
        return [
            {"resourceType": "Practitioner", "id": "doctor", **names, "identifier": self.identifiers()},
            {"resourceType": "Organization", "id": "clinic", "name": "Clinic", "identifier": self.identifiers()},
            {"resourceType": "Location", "id": "ward", "name": "Ward", **clinic},
            {"resourceType": "Medication", "id": "pill", "code": self.concept()},
            {"resourceType": "PractitionerRole", "id": "role", "practitioner": self.refer("Practitioner")},
        ]

    def _shared(self) -> Row:
        """Return a row that is of several patients, of those who did it, or of nobody."""
        people = self.random.sample(PATIENTS, self.one([1, 2]))
        references = [{"reference": f"Patient/{who}"} for who in people]
        name = self.name()
        group = {"resourceType": "Group", "id": name, "type": "person", "actual": True, "name": WORD}
        match self.one(["group", "observation", "appointment", "provenance", "nobody"]):
            case "provenance":
                told = {"recorded": self.one(DAYS), "agent": [{"who": {"reference": "Practitioner/doctor"}}]}
                found = {"resourceType": "Provenance", "id": name, "target": references, **told}
                return Row(found, frozenset(people))
            case "group":
                return Row({**group, "member": [{"entity": each} for each in references]}, frozenset(people))
            case "observation":
                found = {"resourceType": "Observation", "id": name} | self._observation() | {"performer": references}
                return Row(found, frozenset(people))
            case "appointment":
                parts = [{"actor": each, "status": "accepted"} for each in references]
                found = {"resourceType": "Appointment", "id": name, "status": "proposed", "participant": parts}
                return Row(found, frozenset(people))
            case _:
                return Row({**group, "member": [{"entity": {"reference": "Practitioner/doctor"}}]})

    def _terminology(self) -> list[Resource]:
        listed = {"system": SYSTEMS[1], "concept": [{"code": self.one(CODES)}]}
        nested = [{"code": "A", "concept": [{"code": "mood"}]}]
        value_set = {"resourceType": "ValueSet", "id": self.name(), "url": URIS[0], "status": "active"}
        codes = {"resourceType": "CodeSystem", "id": self.name(), "url": SYSTEMS[1], "status": "active"}
        questionnaire = {"resourceType": "Questionnaire", "id": self.name(), "url": URIS[1], "status": "active"}
        return [
            {**value_set, "compose": {"include": [listed]}},
            {**codes, "content": "complete", "concept": nested},
            {**questionnaire, "title": WORD},
        ]

    def _moved(self) -> Row:
        """Return a row that was another patient's before: own ones whose past is hidden, and others' that were own."""
        kind = self.one(["Observation", "Condition", "Encounter"])
        now, before = self.one([(OWN, PATIENTS[0]), (PATIENTS[2], OWN), (PATIENTS[0], PATIENTS[2])])
        current = self.about(kind, now)
        past = tuple({**self.about(kind, who), "id": current["id"]} for who in (before, before))
        found = Row(current, frozenset({now}), past=[(past[0], past[0])])
        if self.caller.sees(found) and not any(self.caller.sees(Row(each, frozenset({before}))) for each in past):
            found.past = [(past[0], _in_words(past[1], SECRET_WORD))]
        return found

    def _keep_apart(self) -> None:
        """Give hidden rows the secret word, add those of the other organization, and mark what hidden ones hold."""
        elsewhere = [
            Row(row.resource, row.owners, elsewhere=True, deleted=row.deleted) for row in self.rows if self.maybe(0.6)
        ]
        mixed = [*self.rows, *elsewhere]
        self.random.shuffle(elsewhere)
        for row in elsewhere:
            mixed.remove(row)
            mixed.insert(self.random.randrange(len(mixed) + 1), row)
        self.rows = mixed
        for row in mixed:
            if not self.caller.sees(row):
                row.resource = _in_words(row.resource, SECRET_WORD)
                row.past = [(_in_words(one, SECRET_WORD), _in_words(other, SECRET_WORD)) for one, other in row.past]
        referred = {
            name.partition("/_history/")[0]
            for row in mixed
            if not self.caller.sees(row) and not row.elsewhere
            for name in references_in(row.resource)
        }
        for row in mixed:
            row.held = row.key in referred

    def _told(self) -> list[Step]:
        """Return the steps: earlier versions come some time before, deletions some time later."""
        steps = [Step(row, (row.resource, row.resource)) for row in self.rows]
        for row in self.rows:
            at = next(place for place, step in enumerate(steps) if step.row is row)
            for contents in row.past:
                steps.insert(self.random.randrange(at + 1), Step(row, contents))
            if row.deleted:
                steps.insert(self.random.randrange(at + 1, len(steps) + 1), Step(row, None))
        return steps

    def moment(self) -> str:
        """Return an instant at which half the rows were there, more or less."""
        seconds = self.random.randrange(len(self.rows)) + self.one([0, 1])
        minutes, second = divmod(40 + seconds, 60)
        return f"2020-09-13T12:{26 + minutes}:{second:02}Z"


PATIENT_OF: Final = frozenset({"AllergyIntolerance", "Consent", "RelatedPerson", "Device"})
KINDS: Final = (
    *("Observation",) * 8,
    *("Condition", "Encounter") * 3,
    *("MedicationRequest", "CarePlan", "Goal", "CareTeam", "DiagnosticReport", "ServiceRequest", "AllergyIntolerance"),
    *("Consent", "RelatedPerson", "Device", "List", "QuestionnaireResponse", "DocumentReference"),
)


def _in_words(value: Any, word: str) -> Any:
    """Return a value with another word in place of the usual one."""
    if isinstance(value, dict):
        return {name: _in_words(each, word) for name, each in value.items()}
    if isinstance(value, list):
        return [_in_words(each, word) for each in value]
    return value.replace(WORD, word) if isinstance(value, str) else value


def references_in(value: Any) -> list[str]:
    """Return the literal references in a value."""
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return [*own, *(name for each in value.values() for name in references_in(each))]
    return [name for each in value for name in references_in(each)] if isinstance(value, list) else []
