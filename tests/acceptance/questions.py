"""Drawn requests to the FHIR interface: every interaction, and every kind of search that the parser knows.

Values are taken from the resources of a scene, hidden ones as well, so that searches hit what may not be seen; which
parameters there are is read from the registry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from capability.compartments import COMPARTMENTS
from capability.search_parameters import SearchParameter, SearchType, search_parameters
from storage.provenance import provenance_id
from storage.resources import ResourceKey
from tests.acceptance.scenes import (
    CODES,
    DATES,
    DAYS,
    DIRECTORY,
    KINDS,
    OWN,
    PATIENTS,
    SECRET_WORD,
    URIS,
    Resource,
    Row,
    Scene,
)


class Question(NamedTuple):
    """One request; `paged` follows every next link."""

    method: str
    path: str
    body: Any = None
    headers: dict[str, str] | None = None
    paged: bool = False


TYPES: Final = tuple(
    sorted({*KINDS, *DIRECTORY, "Patient", "Group", "Appointment", "ValueSet", "CodeSystem", "Provenance"})
)
UNSEEN: Final = ("Task", "Immunization", "Questionnaire", "AuditEvent", "Subscription", "Bundle", "Nothing")
"""Types without rows, of other rights, or none at all."""
PREFIXES: Final = ("", "", "", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
MODIFIERS: Final[dict[SearchType, tuple[str, ...]]] = {
    SearchType.STRING: ("exact", "contains"),
    SearchType.TOKEN: ("not", "text", "in", "not-in", "above", "below", "of-type"),
    SearchType.REFERENCE: ("identifier", "Patient", "Observation", "Practitioner"),
    SearchType.URI: ("above", "below"),
}
JSON_PATCH: Final = {"Content-Type": "application/json-patch+json"}
INSTANCE: Final = (
    *("",) * 4,
    *("?_summary=true", "?_summary=text", "?_elements=status", "?_pretty=true", "/_history", "/_history?_count=1"),
    *("/_history?_since={}", "/_history?_at={}", "/_history/1", "/_history/2", "/_history/3"),
    *("/_history/0", "/$lineage", "/$meta", "/$validate", "/$everything", "/$nothing", "/_history/1?_elements=id"),
)


class Questioner:
    """Draws requests about a scene."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene = scene
        self.random = Random(seed)
        self.caller = scene.caller
        self.values = _values_of(scene.rows)
        self.reached = TYPES if "*" in scene.caller.reach else tuple(sorted(scene.caller.reach))
        self.types = (*TYPES, *self.reached * max(1, 3 * len(TYPES) // len(self.reached)))
        moved = [row for row in scene.rows if row.past]
        self.rows = [
            *scene.rows,
            *moved * 3,
            *(row for row in scene.rows if row.resource["resourceType"] in self.reached),
        ]
        self.deletable = [
            row.key
            for row in scene.rows
            if (self.caller.is_bound or not row.held) and (self.caller.sees(row) or not row.elsewhere)
        ]

    def one(self, values: Any) -> Any:
        return self.random.choice(values)

    def maybe(self, likelihood: float = 0.5) -> bool:
        return self.random.random() < likelihood

    def draw(self) -> Question:
        """Return a request: mostly searches and reads, some writes."""
        makers: tuple[tuple[int, Callable[[], Question]], ...] = (
            (22, self._search),
            (8, self._paged),
            (4, self._system_search),
            (5, self._compartment),
            (14, self._instance),
            (4, self._history),
            (3, self._operation),
            (3, self._conditional_read),
            (6, self._update),
            (3, self._create),
            (4, self._patch),
            (3, self._delete),
            (5, self._bundle),
            (2, self._refused),
        )
        return self.random.choices([each for _, each in makers], [weight for weight, _ in makers])[0]()

    # --- addresses ---

    def id_of(self, kind: str) -> str:
        """Return an id that a resource of the type has, whoever may see it, or that nobody has."""
        known = [row.resource["id"] for row in self.scene.rows if row.resource["resourceType"] == kind]
        return str(self.one([*known, *known, "nobody", OWN]))

    def key(self) -> str:
        row: Row = self.one(self.rows)
        kind = row.resource["resourceType"]
        return row.key if self.maybe(0.85) else f"{kind}/{self.one(['nobody', row.resource['id'] + 'x', OWN])}"

    def _instance(self) -> Question:
        key = self.key()
        if self.maybe(0.1):
            key = f"Provenance/{provenance_id(ResourceKey(*key.split('/')), self.one([1, 2]))}"
        return Question(
            self.one(["GET", "GET", "GET", "HEAD"]), f"/{key}{self.one(INSTANCE).format(self.scene.moment())}"
        )

    def _conditional_read(self) -> Question:
        condition = self.one(
            [
                {"If-None-Match": f'W/"{self.one([1, 2, 3])}"'},
                {"If-None-Match": "*"},
                {"If-Modified-Since": self.one(["Sun, 13 Sep 2020 12:27:10 GMT", "Sun, 13 Sep 2030 12:27:10 GMT"])},
            ]
        )
        return Question(self.one(["GET", "HEAD"]), f"/{self.key()}", headers=condition)

    def _history(self) -> Question:
        where = self.one(["", f"/{self.one(self.types)}", f"/{self.key()}"])
        how = self.one(
            ["", f"_since={self.scene.moment()}", f"_at={self.scene.moment()}", f"_list={self.id_of('List')}"]
        )
        return Question("GET", f"{where}/_history?_count={self.one([2, 7, 100])}&{how}", paged=self.maybe())

    # --- searches ---

    def _search(self) -> Question:
        kind = self.one([*self.types, *("Observation",) * 12])
        query = "&".join([*self._criteria(kind), *self._results(kind)])
        strict = {"Prefer": "handling=strict"} if self.maybe(0.1) else None
        if self.maybe(0.15):
            return Question("POST", f"/{kind}/_search", query)
        return Question("GET", f"/{kind}?{query}", headers=strict)

    def _paged(self) -> Question:
        kind = self.one([*self.types, *("Observation",) * 12])
        criteria = self._criteria(kind) if self.maybe(0.4) else []
        query = "&".join([*criteria, f"_count={self.one([1, 2, 3])}", *self._results(kind)])
        return Question("GET", f"/{kind}?{query}", paged=True)

    def _system_search(self) -> Question:
        kinds = self.random.sample(self.types, self.one([2, 3, 5]))
        common = [
            f"_id={self.id_of(self.one(kinds))},{self.id_of(self.one(kinds))}",
            f"_lastUpdated=gt{self.scene.moment()}",
        ]
        about = [f"patient={self.one(PATIENTS)}", "_tag:not=x", "_id:not=zz"]
        query = [self.one([*common, *about, "_total=accurate"]), f"_count={self.one([2, 5, 50])}"]
        query += [self.one(["_sort=_lastUpdated", "_sort=-_id", "_total=accurate", "_summary=true", "_summary=count"])]
        if self.maybe(0.8):
            query.append(f"_type={','.join(kinds)}")
        if self.maybe(0.2):
            query.append("_revinclude=Provenance:target")
        if self.maybe(0.2):
            return Question("POST", "/_search", "&".join(query))
        return Question("GET", f"/?{'&'.join(query)}", paged=self.maybe())

    def _compartment(self) -> Question:
        owner = self.one(["Patient", "Patient", *COMPARTMENTS])
        within = self.one(["*", "Observation", "Condition", "Encounter", *self.types])
        criteria = self._criteria(within)[:1] if within != "*" and self.maybe() else []
        query = [
            *criteria,
            self.one(["_total=accurate", "_count=2", "_summary=count", "_sort=_id", "_type=Observation"]),
        ]
        return Question("GET", f"/{owner}/{self.id_of(owner)}/{within}?{'&'.join(query)}", paged=self.maybe(0.3))

    def _criteria(self, kind: str) -> list[str]:
        return [self._criterion(kind) for _ in range(self.one([0, 1, 1, 1, 2, 3]))]

    def _criterion(self, kind: str, depth: int = 0) -> str:
        form = self.random.random()
        chains = [each for each in _parameters(kind, SearchType.REFERENCE) if _targets(each)]
        if depth < 2 and form < 0.2 and chains:
            parameter = self.one(chains)
            target = self.one(_targets(parameter))
            typed = f":{target}" if self.maybe(0.7) else ""
            return f"{parameter.code}{typed}.{self._criterion(target, depth + 1)}"
        sources = _referring(kind)
        if depth < 2 and form < 0.33 and sources:
            source, code = self.one(sources)
            return f"_has:{source}:{code}:{self._criterion(source, depth + 1)}"
        parameters = _parameters(kind)
        if not parameters:
            return f"_id={self.id_of(kind)}"
        parameter = self.one(parameters)
        if self.maybe(0.06):
            return f"{parameter.code}:missing={self.one(['true', 'false'])}"
        modifier = self.one(MODIFIERS[parameter.type]) if parameter.type in MODIFIERS and self.maybe(0.25) else ""
        values = [self._value(parameter, modifier) for _ in range(self.one([1, 1, 2]))]
        written = quote(",".join(values), safe=":/|,$")
        return f"{parameter.code}{f':{modifier}' if modifier else ''}={written}"

    def _value(self, parameter: SearchParameter, modifier: str = "") -> str:
        if modifier in {"in", "not-in"}:
            return str(self.one([URIS[0], f"ValueSet/{self.id_of('ValueSet')}"]))
        if parameter.type is SearchType.COMPOSITE:
            parts = [
                self.value_of(parameter.resource_type, each.type, each.expression) for each in parameter.components
            ]
            return "$".join(parts)
        if parameter.code == "_id":
            return self.id_of(parameter.resource_type)
        return self.value_of(parameter.resource_type, parameter.type, parameter.expression)

    def value_of(self, kind: str, of_type: SearchType, expression: str) -> str:
        """Return a value to search for: mostly one that a resource of the scene has in this element."""
        found = self.values.get((kind, _element(expression)), ())
        fitting = [text for each in found for text in _texts(of_type, each)]
        fallback = {
            SearchType.TOKEN: CODES,
            SearchType.REFERENCE: tuple(f"Patient/{who}" for who in PATIENTS),
            SearchType.DATE: (*DATES, *DAYS),
            SearchType.QUANTITY: ("70", "gt1", "500||kg"),
            SearchType.NUMBER: ("1", "gt0"),
            SearchType.URI: URIS,
        }.get(of_type, ("Cha", "mar", "x"))
        text = str(self.one(fitting if fitting and self.maybe(0.9) else fallback))
        if of_type is SearchType.DATE or of_type is SearchType.QUANTITY:
            text = self.one(PREFIXES) + text
        return text.lower() if SECRET_WORD in text or of_type is SearchType.STRING else text

    def _results(self, kind: str) -> list[str]:
        """Return parameters about order, includes, parts and totals."""
        found = []
        sortable = [each.code for each in _parameters(kind) if each.type is not SearchType.COMPOSITE]
        if self.maybe(0.4) and sortable:
            keys = self.random.sample(sortable, min(self.one([1, 1, 2, 3]), len(sortable)))
            found.append(f"_sort={','.join(self.one(['', '-']) + key for key in keys)}")
        if self.maybe(0.35):
            found += [self._include(kind) for _ in range(self.one([1, 1, 2]))]
        if self.maybe(0.25):
            found.append(self.one(["_total=accurate", "_total=accurate", "_total=estimate", "_total=none"]))
        if self.maybe(0.2):
            found.append(
                self.one(["_summary=count", "_summary=true", "_summary=data", "_elements=id,status", "_count=0"])
            )
        return found

    def _include(self, kind: str) -> str:
        iterated = ":iterate" if self.maybe(0.3) else ""
        if self.maybe() and _referring(kind):
            source, code = self.one([*_referring(kind), ("Provenance", "target")])
            return f"_revinclude{iterated}={source}:{self.one([code, code, '*'])}"
        of = self.one(self.types) if iterated else kind
        references = [each.code for each in _parameters(of, SearchType.REFERENCE)]
        typed = self.one(["", "", ":Patient", ":Observation"])
        return f"_include{iterated}={of}:{self.one([*references, '*'])}{typed}" if references else f"_include={kind}:*"

    # --- operations ---

    def _operation(self) -> Question:
        who = f"Patient/{self.id_of('Patient')}"
        body = self.resource()
        label = [{"name": "meta", "valueMeta": {"tag": [{"system": "urn:labels", "code": self.one(CODES)}]}}]
        labels = {"resourceType": "Parameters", "parameter": label}
        return self.one(
            [
                Question("GET", f"/{who}/$everything?_count={self.one([2, 5, 100])}", paged=True),
                Question(
                    "GET", f"/{who}/$everything?_type=Observation,{self.one(self.types)}&_revinclude=Provenance:target"
                ),
                Question("GET", f"/Patient/{OWN}/$everything?_at={self.scene.moment()}", paged=True),
                Question("GET", f"/{who}/$everything?_at={self.scene.moment()}&_count=9", paged=True),
                Question("GET", f"/{who}/$everything?start=2020-03-01&end=2020-03-31&_since={self.scene.moment()}"),
                Question("GET", f"/Observation/$lastn?category=laboratory&max=2&patient={self.id_of('Patient')}"),
                Question("GET", f"/Observation/$lastn?code={self.one(CODES)}&subject={who}&max=3"),
                Question("GET", f"/{self.one(self.types)}/$meta"),
                Question("GET", "/$meta"),
                Question("POST", f"/{self.key()}/{self.one(['$meta-add', '$meta-delete', '$meta'])}", labels),
                Question("POST", f"/{body['resourceType']}/$validate?mode={self.one(['create', 'update'])}", body),
                Question("POST", f"/{body['resourceType']}/{body['id']}/$validate?mode=update", body),
            ]
        )

    # --- writes ---

    def resource(self) -> Resource:
        """Return a resource to write: new or with an id that is in use, about this patient or about another."""
        who = self.one([OWN, OWN, OWN, *PATIENTS, "nobody"])
        kinds = [kind for kind in KINDS if kind in self.reached] or KINDS
        made = self.scene.about(self.one(KINDS if self.maybe(0.1) else kinds), who)
        if self.maybe(0.7):
            made["id"] = self.id_of(made["resourceType"])
        return made

    def _update(self) -> Question:
        made = self.resource()
        kind = made["resourceType"]
        match = {"If-Match": f'W/"{self.one([1, 2])}"'} if self.maybe(0.2) else {}
        prefer = {"Prefer": f"return={self.one(['minimal', 'representation', 'OperationOutcome'])}"}
        headers = match | (prefer if self.maybe(0.3) else {})
        if self.maybe(0.3):
            if self.maybe():
                del made["id"]
            return Question("PUT", f"/{kind}?{self._criterion(kind)}", made, headers)
        return Question("PUT", f"/{kind}/{made['id']}", made, headers)

    def _create(self) -> Question:
        made = self.resource()
        kind = made["resourceType"]
        condition = {"If-None-Exist": self._criterion(kind)} if self.maybe(0.7) else {}
        return Question("POST", f"/{kind}", made, condition)

    def _patch(self) -> Question:
        operations = self.one(
            [
                [{"op": "add", "path": "/identifier", "value": [{"system": "urn:new", "value": "1"}]}],
                [{"op": "test", "path": "/status", "value": "final"}],
                [{"op": "replace", "path": "/subject/reference", "value": f"Patient/{self.one(PATIENTS)}"}],
                [{"op": "remove", "path": "/note"}],
            ]
        )
        where = self.key()
        if self.maybe(0.35):
            kind = where.partition("/")[0]
            where = f"{kind}?{self._criterion(kind)}"
        match = {"If-Match": f'W/"{self.one([1, 2])}"'} if self.maybe(0.2) else {}
        return Question("PATCH", f"/{where}", operations, JSON_PATCH | match)

    def _delete(self) -> Question:
        key = self.one([*self.deletable, *[f"{kind}/nobody" for kind in TYPES]])
        if self.maybe(0.3):
            kind, _, name = key.partition("/")
            return Question("DELETE", f"/{kind}?_id={name}&{self._criterion(kind)}")
        return Question("DELETE", f"/{key}")

    def _bundle(self) -> Question:
        kind = self.one(["batch", "batch", "transaction"])
        makers = [self._instance, self._search, self._update, self._create, self._patch, self._delete, self._history]
        if kind == "transaction":
            makers = [self._instance, self._update, self._create, self._create]
        entries = [_entry(self.one(makers)()) for _ in range(self.one([1, 2, 4]))]
        if self.maybe(0.3):
            referring = self.scene.about("Observation", OWN) | {"focus": [{"reference": self._condition()}]}
            entries.append({"request": {"method": "POST", "url": "Observation"}, "resource": referring})
        return Question("POST", "/", {"resourceType": "Bundle", "type": kind, "entry": entries})

    def _condition(self) -> str:
        kind = self.one(["Patient", "Observation", "Encounter", "Condition"])
        return f"{kind}?{self._criterion(kind)}"

    def _refused(self) -> Question:
        kind = self.one([*UNSEEN, *self.types])
        return self.one(
            [
                Question("GET", f"/{kind}"),
                Question("GET", f"/{kind}/{self.id_of('Observation')}"),
                Question("GET", f"/{kind}/_history"),
                Question("GET", f"/{kind}?{self.one(['nothing=1', 'code:nothing=1', '_sort=nothing', '_include=x'])}"),
                Question("GET", f"/{kind}/{self.one(['a_b', 'x' * 65, '%20', '..'])}"),
                Question("GET", f"/{self.key()}/_history/{self.one(['0', '-1', 'x', '99999999999'])}"),
                Question("POST", f"/{kind}", {"resourceType": kind, "id": "x", "nothing": 1}),
                Question("PUT", f"/{self.key()}", {"resourceType": "Observation", "id": "other"}),
                Question("GET", "/Observation?_cursor=AAAA"),
                Question("GET", f"/{self.key()}?_format=xml"),
                Question("GET", f"/Patient/{self.id_of('Patient')}/{kind}"),
            ]
        )


def _entry(question: Question) -> Resource:
    """Return a request as an entry of a Bundle."""
    headers = question.headers or {}
    request: Resource = {"method": question.method, "url": question.path.lstrip("/") or "Patient"}
    names = {"If-Match": "ifMatch", "If-None-Exist": "ifNoneExist", "If-None-Match": "ifNoneMatch"}
    request |= {names[name]: value for name, value in headers.items() if name in names}
    entry: Resource = {"request": request}
    match question.body:
        case dict() as resource:
            entry["resource"] = resource
            if "id" in resource:
                entry["fullUrl"] = f"http://fhir.example/fhir/{resource['resourceType']}/{resource['id']}"
        case list():
            part = [{"name": "type", "valueCode": "delete"}, {"name": "path", "valueString": "Observation.note"}]
            operation = {"name": "operation", "part": part}
            entry["resource"] = {"resourceType": "Parameters", "parameter": [operation]}
        case str():
            request |= {"method": "GET", "url": request["url"].replace("/_search", f"?{question.body}")}
    return entry


# --- what the registry and the resources offer ------------------------------------------------------------------------


@cache
def _parameters(kind: str, of_type: SearchType | None = None) -> tuple[SearchParameter, ...]:
    known = search_parameters(kind).values()
    return tuple(
        each for each in known if each.type is not SearchType.SPECIAL and (of_type is None or each.type is of_type)
    )


@cache
def _targets(parameter: SearchParameter) -> tuple[str, ...]:
    return tuple(kind for kind in TYPES if parameter.permits(kind))


@cache
def _referring(kind: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (source, each.code)
        for source in TYPES
        for each in _parameters(source, SearchType.REFERENCE)
        if each.permits(kind)
    )


def _element(expression: str) -> str:
    """Return the first element that a parameter's expression looks at."""
    steps = re.findall(r"[A-Za-z]+", expression.partition("|")[0])
    named = [step for step in steps if step[0].islower()]
    return named[0] if named else ""


def _values_of(rows: list[Row]) -> dict[tuple[str, str], list[Any]]:
    """Return what stands in each element, by type; `value` finds `valueQuantity` and the like."""
    found: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        kind = row.resource["resourceType"]
        for name, value in row.resource.items():
            stem = re.split(r"(?=[A-Z])", name)[0]
            for element in {name, stem}:
                found.setdefault((kind, element), []).extend(_nodes(value))
    return found


def _nodes(value: Any) -> Iterator[Any]:
    """Yield a value and all within it."""
    if isinstance(value, list):
        for each in value:
            yield from _nodes(each)
        return
    yield value
    if isinstance(value, dict):
        for each in value.values():
            yield from _nodes(each)


def _texts(of_type: SearchType, node: Any) -> Iterator[str]:
    """Yield how a value may be asked for."""
    match of_type, node:
        case SearchType.TOKEN, {"system": system, "code": code}:
            yield from (code, f"{system}|{code}", f"{system}|")
        case SearchType.TOKEN, {"system": system, "value": value}:
            yield from (str(value), f"{system}|{value}")
        case SearchType.REFERENCE, {"reference": str() as reference}:
            yield from (reference, reference.split("/")[1], f"http://fhir.example/fhir/{reference}")
        case SearchType.QUANTITY, {"value": value, "code": code, "system": system}:
            yield from (str(value), f"{value}|{system}|{code}", f"{value}||{code}")
        case ((SearchType.STRING | SearchType.URI | SearchType.DATE), str() as text):
            if of_type is not SearchType.DATE or re.match(r"\d{4}", text):
                yield text
        case SearchType.TOKEN, str() as text if len(text) < 30:
            yield text
        case SearchType.NUMBER, int() as number:
            yield str(number)
