"""Value matching of searches (fhir_rest.md §8; FHIR R4 search.html#date, #number, #quantity, #string, #token, …)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from storage.engine import Database
from tests.search.library import Library


@pytest.fixture
def library(database: Database) -> Library:
    """An empty organization on each engine."""
    return Library(database)


def observation(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}, **elements}


def patient(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "p", **elements}


# --- 8.1 dates --------------------------------------------------------------------------------------------------------

OPEN_START, OPEN_END = {"end": "2013-01-14"}, {"start": "2012-06-01"}
DATE_CASES = [
    ("2013-01-14", "2013-01-14T10:00:00Z", True),  # the day contains the time
    ("2013-01-14", {"start": "2013-01-14", "end": "2013-01-15"}, False),
    ("2013-01", "2013-01-14", True),
    ("2013-01-14", "2013-01", False),
    ("ge2013", "2013-06", True),
    ("ge2013", OPEN_END, True),  # begun before, not over
    ("gt2013", OPEN_END, True),
    ("le2013", OPEN_END, True),
    ("lt2000", OPEN_START, True),  # open start
    ("eq2013", OPEN_END, False),
    ("ne2013", OPEN_END, True),
    ("eq2013-01-14T10:00:00Z", "2013-01-14", False),  # a second does not contain the day
    ("ap2013-01-14T10:00:00Z", "2013-01-14", True),
    ("ap2013-01-14", "2013-03-01", True),  # a tenth of the ten years since
    ("ap2013-01-14", "2020-01-01", False),
    ("2013-01-14T23:30:00Z", "2013-01-15T01:30:00+02:00", True),  # one instant
    ("2013-01-14", "2013-01-15T01:30:00+02:00", True),
    ("sa2013-01-13", "2013-01-14", True),
    ("sa2013-01-14", "2013-01-14T23:00:00Z", False),
    ("sa2013-01", "2013", False),
    ("eb2013-01-15", "2013-01-14", True),
    ("eb2013-01-14", "2013-01-14", False),
    ("gt2013-01-14", "2013-01", True),
    ("gt2013-01-14", "2013-01-14", False),
    ("lt2013-01-14", "2013-01", True),
    ("le2013-01-14", "2013-01-14T10:00:00Z", True),
    ("ge2013-01-14", "2013-01-13", False),
    ("2013-01-14T10:00", "2013-01-14T10:00:59Z", True),
    ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", True),  # a leap second
    ("2000,ge2013", "2013-01-14", True),  # each alternative has its own prefix
    ("2000,gt2013", "2013-01-14", False),
]


@pytest.mark.parametrize(("asked", "stored", "found"), DATE_CASES)
@pytest.mark.parametrize("parameter", ["date", "value-date", "patient=p&date"])
async def test_fhir_8_1_an_observation_is_found_by_date_when(
    library: Library, parameter: str, asked: str, stored: Any, found: bool
) -> None:
    """The clinical date stands in columns, other dates in rows; beside a patient a token leads. All compare alike."""
    name = "value" if parameter == "value-date" else "effective"
    element = f"{name}Period" if isinstance(stored, dict) else f"{name}DateTime"
    await library.add(observation(**{element: stored}, subject={"reference": "Patient/p"}))
    query = f"Observation?{parameter}={asked.replace('+', '%2B')}"
    assert (await library.ids(query) == ["o"]) is found
    assert (await library.ids(f"{query}&status=final") == ["o"]) is found
    assert (
        await library.ids(f"Observation?patient=p&status=final&{parameter.split('&')[-1]}={asked}") == ["o"]
    ) is found


@pytest.mark.parametrize("prefix", ["", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
async def test_fhir_8_1_without_the_element_no_comparison_matches(library: Library, prefix: str) -> None:
    await library.add(observation(subject={"reference": "Patient/p"}), patient())
    assert await library.ids(f"Observation?date={prefix}2013") == []
    assert await library.ids(f"Observation?patient=p&status=final&date={prefix}2013") == []
    assert await library.ids(f"Patient?birthdate={prefix}2013") == []


@pytest.mark.parametrize(
    ("asked", "stored", "found"),
    [
        ("2013-01-14T10:00:05.123Z", "2013-01-14T10:00:05.123Z", True),  # a millisecond
        ("2013-01-14T10:00:05.123Z", "2013-01-14T10:00:05.1239Z", True),
        ("2013-01-14T10:00:05.123Z", "2013-01-14T10:00:05.124Z", False),
        ("2013-01-14T10:00:05Z", "2013-01-14T10:00:05.999Z", True),
        ("2013-01-14T10:00:05.0Z", "2013-01-14T10:00:05.123Z", False),
        ("2013-01-14T10:00", "2013-01-14T10:00:30Z", True),  # without an offset: UTC
        ("2013-01-14T10:00:00", "2013-01-14T12:00:00+02:00", True),
        ("2013-01-14T12:00:00%2B02:00", "2013-01-14T10:00:00Z", True),
        ("2013-01-14T12:00:00 02:00", "2013-01-14T10:00:00Z", True),  # a plus that was sent unescaped
        ("gt2013-01-13T10:00:00%2B00:00", "2013-01-14T09:59:59Z", True),  # G5: a day before
        ("lt2013-01-15T10:00:00%2B00:00", "2013-01-14T10:00:01Z", True),
        ("ge2013-01-14T10:00:00%2B00:00", "2013-01-14T10:00:00Z", True),
        ("le2013-01-14T10:00:00%2B00:00", "2013-01-14T10:00:00Z", True),
        ("gt2013-01-14T10:00:00Z", "2013-01-14T10:00:00Z", False),
        ("gt2013-01-13", "2013-01-14", True),  # G6: day precision, the day before
        ("gt2013-01-13", "2013-01", True),
        ("gt2012-12-31", "2013", True),
        ("lt2013-01-15", "2013-01-14", True),
        ("ne2013-01-14", "2013-01-15", True),
        ("ne2013", "2013-06-01", False),
        ("2012-12-31T23:59:60Z", "2013-01-01T00:00:00.5Z", True),
    ],
)
async def test_fhir_8_1_precision_and_offset_of_a_date_are_minded(
    library: Library, asked: str, stored: str, found: bool
) -> None:
    await library.add(observation(effectiveDateTime=stored, valueDateTime=stored))
    assert (await library.ids(f"Observation?date={asked}") == ["o"]) is found
    assert (await library.ids(f"Observation?value-date={asked}") == ["o"]) is found


@pytest.mark.parametrize(
    ("asked", "timing", "found"),
    [
        ("2013", {"event": ["2013-01-14", "2013-03-01"]}, True),
        ("2013-01", {"event": ["2013-01-14", "2013-03-01"]}, False),  # the hull of the events
        ("sa2013-01-13", {"event": ["2013-01-14", "2013-03-01"]}, True),
        ("ap2013-02-01", {"event": ["2013-01-14", "2013-03-01"]}, True),
        ("ge2020", {"repeat": {"boundsPeriod": {"start": "2013-01-14"}}}, True),
        ("eb2013-01-14", {"event": ["2012-01-01"], "repeat": {"boundsPeriod": {"end": "2013-01-13"}}}, True),
        ("gt2000", {"code": {"text": "daily"}}, False),
    ],
)
async def test_fhir_8_1_a_timing_lasts_from_its_first_event_to_its_last(
    library: Library, asked: str, timing: dict[str, Any], found: bool
) -> None:
    request = {"resourceType": "ServiceRequest", "id": "r", "status": "active", "intent": "order"}
    await library.add({**request, "occurrenceTiming": timing})
    assert (await library.ids(f"ServiceRequest?occurrence={asked}") == ["r"]) is found


async def test_fhir_8_1_an_instant_is_as_wide_as_it_is_written(library: Library) -> None:
    document = {"resourceType": "DocumentReference", "id": "d", "status": "current", "content": []}
    await library.add({**document, "date": "2013-01-14T10:00:05.123Z"})
    assert await library.ids("DocumentReference?date=2013-01-14T10:00:05.123Z") == ["d"]
    assert await library.ids("DocumentReference?date=2013-01-14") == ["d"]
    assert await library.ids("DocumentReference?date=gt2013-01-14T10:00:05.123Z") == []


# --- 8.2 numbers and quantities ---------------------------------------------------------------------------------------

UCUM = "http://unitsofmeasure.org"
MG = {"unit": "mg", "system": UCUM, "code": "mg"}


@pytest.mark.parametrize(
    ("asked", "stored", "found"),
    [
        ("100", "99.5", True),  # N1: precision of the digits written
        ("100", "100.5", False),
        ("100.00", "100.004", True),
        ("100.00", "100.005", False),
        ("1e2", "104.9", True),
        ("1e2", "105", False),
        ("ne100", "100.4", False),
        ("ne100", "100.5", True),
        ("gt100", "100.001", True),  # N2: exact
        ("gt100", "100", False),
        ("ge100", "100", True),
        ("lt100", "99.999", True),
        ("le100", "100", True),
        ("sa100", "100", False),
        ("eb100", "99", True),
        ("ap100", "109.9", True),  # N3
        ("ap100", "111", False),
        ("ap-100", "-109", True),
        ("-1", "-1.0", True),
        ("gt0.1", "0.10000000000000000000000000000000001", True),  # N7
        ("5.4|http://unitsofmeasure.org|mg", "5.4", True),  # N4
        ("0.0054|http://unitsofmeasure.org|g", "5.4", True),  # N5
        ("gt0.005|http://unitsofmeasure.org|g", "5.4", True),
        ("5.4|http://unitsofmeasure.org|mL", "5.4", False),
        ("5.4|http://other|mg", "5.4", False),
        ("5.4||mg", "5.4", True),
        ("5.4||g", "5.4", False),
        ("1,5.4", "5.4", True),
    ],
)
async def test_fhir_N1_to_N7_a_quantity_is_found_when(library: Library, asked: str, stored: str, found: bool) -> None:
    await library.add(observation(valueQuantity={"value": Decimal(stored), **MG}))
    assert (await library.ids(f"Observation?value-quantity={asked}") == ["o"]) is found


@pytest.mark.parametrize(
    ("asked", "unit", "stored", "found"),
    [
        ("gt16|{}|kPa", "mm[Hg]", "130", True),
        ("38|{}|Cel", "[degF]", "100.4", True),  # affine
        ("5.0||tablet", "{{tablet}}", "5", False),  # text is compared as it is
    ],
)
async def test_fhir_N5_units_of_one_dimension_compare(
    library: Library, asked: str, unit: str, stored: str, found: bool
) -> None:
    await library.add(observation(valueQuantity={"value": Decimal(stored), "system": UCUM, "code": unit}))
    assert (await library.ids(f"Observation?value-quantity={asked.format(UCUM)}") == ["o"]) is found


@pytest.mark.parametrize(
    ("asked", "comparator", "found"),
    [
        ("lt5", "<", True),
        ("4", "<", False),
        ("gt5", "<", False),
        ("eb5", "<", True),
        ("eb5", "<=", False),
        ("gt5", ">", True),
        ("gt100", ">", True),
        ("ge5", ">=", True),
        ("sa5", ">", True),
        ("sa5", ">=", False),
    ],
)
async def test_fhir_N6_a_comparator_makes_an_open_interval(
    library: Library, asked: str, comparator: str, found: bool
) -> None:
    await library.add(observation(valueQuantity={"value": 5, "comparator": comparator, "unit": "mg"}))
    assert (await library.ids(f"Observation?value-quantity={asked}") == ["o"]) is found


async def test_fhir_N1_a_number_parameter_goes_by_precision_too(library: Library) -> None:
    item = {"resourceType": "ChargeItem", "id": "c", "status": "billable", "factorOverride": Decimal("0.8")}
    await library.add(item)
    assert await library.ids("ChargeItem?factor-override=0.8") == ["c"]
    assert await library.ids("ChargeItem?factor-override=gt0.8") == []


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("ap0.85", True),
        ("ap0.9", False),
        ("ge0.8", True),
        ("sa0.7", True),
        ("eb0.9", True),
        ("ne0.8", False),
        ("8e-1", True),
    ],
)
async def test_fhir_N1_N2_N3_prefixes_of_a_number(library: Library, asked: str, found: bool) -> None:
    """`8e-1` is as exact as 0.8; `ap` reaches a tenth of what is asked to either side."""
    item = {"resourceType": "ChargeItem", "id": "c", "status": "billable", "factorOverride": Decimal("0.8")}
    await library.add(item)
    assert (await library.ids(f"ChargeItem?factor-override={asked}") == ["c"]) is found


@pytest.mark.parametrize(
    ("asked", "unit", "stored", "found"),
    [
        ("37|{}|Cel", "[degF]", "98.6", True),
        ("gt100|{}|[degF]", "Cel", "38", True),
        ("lt100|{}|[degF]", "Cel", "38", False),
        ("310.15|{}|K", "Cel", "37", True),
        ("17.3|{}|kPa", "mm[Hg]", "130", True),
        ("130|{}|mm[Hg]", "kPa", "17.332", True),
        ("5.5|{}|mmol/L", "umol/dL", "550", True),
        ("1|{}|h", "min", "60", True),
        ("5|{}|[iU]", "[iU]", "5", True),  # arbitrary units: literally
        ("5|{}|[iU]", "k[iU]", "0.005", False),
        ("5|{}|nonsense", "nonsense", "5", True),  # no unit of UCUM: literally
        ("7.4|{}|[pH]", "[pH]", "7.4", True),
        ("5|{}|Cel", "mg", "5", False),
    ],
)
async def test_fhir_N5_what_converts_compares_and_the_rest_is_literal(
    library: Library, asked: str, unit: str, stored: str, found: bool
) -> None:
    await library.add(observation(valueQuantity={"value": Decimal(stored), "system": UCUM, "code": unit}))
    assert (await library.ids(f"Observation?value-quantity={asked.format(UCUM)}") == ["o"]) is found


@pytest.mark.parametrize(
    ("asked", "ends", "found"),
    [
        ("gt15", {"low": 10, "high": 20}, True),
        ("lt15", {"low": 10, "high": 20}, True),
        ("15", {"low": 10, "high": 20}, False),
        ("ne15", {"low": 10, "high": 20}, True),
        ("ap15", {"low": 10, "high": 20}, True),
        ("sa9", {"low": 10, "high": 20}, True),
        ("eb21", {"low": 10, "high": 20}, True),
        ("eb20", {"low": 10, "high": 20}, False),
        ("gt1000", {"low": 10}, True),
        ("lt0", {"high": 20}, True),
        ("gt20", {"high": 20}, False),
        ("gt1.5|{ucum}|kg", {"low": 10, "high": 2000}, True),
        ("0.01|{ucum}|kg", {"low": 10, "high": 10}, True),
    ],
)
async def test_fhir_N6_a_range_is_an_interval(library: Library, asked: str, ends: dict[str, int], found: bool) -> None:
    onset = {end: {"value": value, "system": UCUM, "code": "g"} for end, value in ends.items()}
    condition = {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"}, "onsetRange": onset}
    await library.add(condition)
    assert (await library.ids(f"Condition?onset-age={asked.format(ucum=UCUM)}") == ["c"]) is found


async def test_fhir_N6_sampled_data_has_no_value_to_compare(library: Library) -> None:
    sampled = {"origin": {"value": 0}, "period": 10, "dimensions": 1, "data": "1 2 3"}
    await library.add(observation(valueSampledData=sampled))
    assert await library.ids("Observation?value-quantity=gt0") == []
    assert await library.ids("Observation?value-quantity:missing=true") == ["o"]


# --- 8.3 strings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=muller", True),  # case and accents do not count
        ("name=MÜL", True),
        ("name=ller", False),
        ("name:contains=LLER", True),
        ("name:exact=Müller", True),
        ("name:exact=Muller", False),
        ("name:exact=M%C3%BCl", False),
        ("family=Mu%CC%88ller", True),  # decomposed
        ("family:exact=Mu%CC%88ller", True),  # equal after NFC
        ("given=anna maria", True),  # spaces count once
        ("given=anna  maria", True),
        ("given=maria", False),
        ("name=ing", True),  # a suffix
        ("name=m%25", False),  # wildcards are letters
        ("name=m_ller", False),
        ("name:contains=%25", False),
        ("name=x,mul", True),
        ("name=mul&name=anna", True),
        ("name=mul&name=x", False),
        ("address=springfield", True),
        ("address-city=spring", True),
        ("address-city=12", False),
        ("address=12 high", True),
        ("given=O\\,Neil", True),  # an escaped comma is no separator
        ("name:missing=false", True),
    ],
)
async def test_fhir_8_3_a_patient_is_found_by_string_when(library: Library, query: str, found: bool) -> None:
    await library.add(
        patient(
            name=[{"family": "Müller", "given": ["Anna  Maria", "O,Neil"], "suffix": ["Ing."]}],
            address=[{"line": ["12 High Street"], "city": "Springfield"}],
        )
    )
    assert (await library.ids(f"Patient?{query}") == ["p"]) is found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("family=strasse", True),  # ß
        ("family=STRASSE", True),
        ("family=Stra%C3%9F", True),
        ("given=soren", True),  # ø
        ("given=S%C3%B8ren", True),
        ("given=%20%20soren%20%20karl", True),  # spaces around do not count
        ("given=karl", False),  # the beginning of a value, not of a word
        ("name=soren karl", True),
        ("name=Dr", True),  # a prefix
        ("name=prof. s", True),  # the text
        ("name:contains=KARL STR", True),  # across parts, in the text
        ("name:exact=Prof. S%C3%B8ren Karl Stra%C3%9Fe", True),
        ("name=straße&name=søren", True),  # each repetition on its own
        ("name=straße søren", False),
        ("address=12 high", True),
        ("address=4020", True),
        ("address=upper", True),
        ("address=linz-land", True),
        ("address=austria", True),
        ("address=unit 5\\, 12", True),  # the text, with a comma
        ("address-postalcode=4020", True),
        ("address-postalcode=020", False),
        ("address-state=UPPER", True),
        ("address-country=aus", True),
        ("address-city=linz", True),
        ("address-city=high", False),
    ],
)
async def test_fhir_8_3_G10_all_parts_of_names_and_addresses_are_searched(
    library: Library, query: str, found: bool
) -> None:
    name = {"text": "Prof. Søren Karl Straße", "family": "Straße", "given": ["Søren Karl"], "prefix": ["Dr."]}
    address = {
        "text": "Unit 5, 12 High Street",
        "line": ["12 High Street"],
        "city": "Linz",
        "district": "Linz-Land",
        "state": "Upper Austria",
        "postalCode": "4020",
        "country": "Austria",
    }
    await library.add(patient(name=[name], address=[address]))
    assert (await library.ids(f"Patient?{query}") == ["p"]) is found


# --- 8.4 tokens -------------------------------------------------------------------------------------------------------

LOINC = "http://loinc.org"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("code=1-8", True),
        (f"code={LOINC}|1-8", True),
        ("code=http://other|1-8", False),
        ("code=|1-8", False),
        ("code=|local", True),
        ("code=LOCAL", True),  # when in doubt, case does not count
        ("code=x,|local", True),
        ("code:not=1-8", False),
        ("code:not=9-9", True),
        ("category:not=lab", True),  # nothing there: it is not lab
        ("status=final", True),
        ("status=http://hl7.org/fhir/observation-status|final", True),
        ("status=http://other|final", False),
        ("identifier=A1", True),
        ("identifier=a1", False),  # identifiers are compared letter by letter
        ("identifier=urn:mrn|A1", True),
        ("identifier=urn:mrn|", True),
        ("identifier=urn:other|", False),
        ("identifier=|A1", False),
        ("identifier:of-type=http://t|MR|A1", True),
        ("identifier:of-type=http://t|MR|B1", False),
        ("identifier:missing=true", False),
        ("category:missing=true", True),
        ("_tag=urn:tags|seen", True),
        ("_tag=other", False),
        ("_profile=http://example.org/profile", True),
        ("_profile=http://example.org", False),
        ("_profile:below=http://example.org", True),
        ("_profile:below=http://example.org/pro", False),  # a boundary is a slash
        ("_source=urn:source", True),
    ],
)
async def test_fhir_8_4_an_observation_is_found_by_token_when(library: Library, query: str, found: bool) -> None:
    identifier = {"system": "urn:mrn", "value": "A1", "type": {"coding": [{"system": "http://t", "code": "MR"}]}}
    await library.add(
        observation(
            code={"coding": [{"system": LOINC, "code": "1-8"}, {"code": "local"}]},
            identifier=[identifier],
            meta={
                "tag": [{"system": "urn:tags", "code": "seen"}],
                "profile": ["http://example.org/profile|1.0"],
                "source": "urn:source",
            },
        )
    )
    assert (await library.ids(f"Observation?{query}") == ["o"]) is found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("active=true", True),
        ("active=false", False),
        ("telecom=555", True),
        ("phone=555", True),
        ("email=555", False),
        ("telecom=phone|555", True),
        ("deceased=true", True),
        ("gender=MALE", True),
    ],
)
async def test_fhir_8_4_booleans_codes_and_contact_points_are_tokens(library: Library, query: str, found: bool) -> None:
    telecom = [{"system": "phone", "value": "555"}]
    await library.add(patient(active=True, telecom=telecom, gender="male", deceasedDateTime="2001"))
    assert (await library.ids(f"Patient?{query}") == ["p"]) is found


# --- 8.5 references ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "query", "found"),
    [
        ("Patient/p", "subject=p", True),
        ("Patient/p", "subject=Patient/p", True),
        ("Patient/p", "subject=https://fhir.example.org/fhir/Patient/p", True),
        ("Patient/p", "subject=https://elsewhere.example/fhir/Patient/p", False),
        ("Patient/p", "subject:Patient=p", True),
        ("Patient/p", "subject:Group=p", False),
        ("Patient/p", "patient=p", True),
        ("Patient/p", "patient=Group/p", False),
        ("Patient/p", "subject=Patient/q,Patient/p", True),
        ("Patient/p", "subject=q", False),
        ("Patient/p/_history/2", "subject=Patient/p/_history/2", True),
        ("Patient/p/_history/2", "subject=Patient/p/_history/3", False),
        ("Patient/p/_history/2", "subject=Patient/p", True),
        ("Patient/p/_history/2", "patient=p", True),
        ("Patient/p", "subject=Patient/p/_history/2", False),
        ("Group/g", "subject=g", True),
        ("Group/g", "subject=Group/g", True),
        ("Group/g", "patient=g", False),
        ("https://elsewhere.example/fhir/Patient/p", "subject=https://elsewhere.example/fhir/Patient/p", True),
        ("https://elsewhere.example/fhir/Patient/p", "subject=Patient/p", False),
        ("urn:uuid:1", "subject=urn:uuid:1", True),
        ("#contained", "subject=contained", False),
        ("Patient/p", "subject:missing=false", True),
        ("Group/g", "patient:missing=true", True),
    ],
)
async def test_fhir_8_5_an_observation_is_found_by_reference_when(
    library: Library, subject: str, query: str, found: bool
) -> None:
    await library.add(observation(subject={"reference": subject}))
    assert (await library.ids(f"Observation?{query}") == ["o"]) is found
    assert (await library.ids(f"Observation?{query}&status=final&_sort=-date") == ["o"]) is found


async def test_fhir_8_5_a_logical_reference_is_found_by_identifier(library: Library) -> None:
    await library.add(observation(subject={"identifier": {"system": "urn:mrn", "value": "A1"}}))
    assert await library.ids("Observation?subject:identifier=urn:mrn|A1") == ["o"]
    assert await library.ids("Observation?subject:identifier=urn:other|A1") == []


async def test_fhir_8_5_a_performer_is_not_the_patient(library: Library) -> None:
    await library.add(observation(subject={"reference": "Group/g"}, performer=[{"reference": "Patient/p"}]))
    assert await library.ids("Observation?patient=p") == []
    assert await library.ids("Observation?subject=p") == []
    assert await library.ids("Observation?performer=p") == ["o"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("instantiates-canonical=http://x.example/plan", True),
        ("instantiates-canonical=http://x.example/plan|1.0", True),
        ("instantiates-canonical=http://x.example/plan|2.0", False),
        ("instantiates-canonical=http://x.example/pla", False),
        ("subject=p", True),
        ("subject=Location/p", False),  # a type that the parameter may have, another resource
        ("patient=Location/p", False),  # a type that it may not: nothing
        ("subject:Patient=p", True),
        ("subject:missing=true", False),
        ("requester:missing=true", True),
        ("requester:Practitioner=p", False),
    ],
)
async def test_fhir_8_5_canonicals_and_types_of_references(library: Library, query: str, found: bool) -> None:
    request = {"resourceType": "ServiceRequest", "id": "r", "status": "active", "intent": "order"}
    plan = ["http://x.example/plan|1.0"]
    await library.add({**request, "subject": {"reference": "Patient/p"}, "instantiatesCanonical": plan})
    assert (await library.ids(f"ServiceRequest?{query}") == ["r"]) is found


async def test_uscore_G2_all_spellings_of_a_patient_find_the_same(library: Library) -> None:
    await library.add(observation(subject={"reference": "Patient/p"}))
    for spelling in ("p", "Patient/p", "https://fhir.example.org/fhir/Patient/p"):
        for name in ("patient", "subject", "subject:Patient"):
            assert await library.ids(f"Observation?{name}={spelling}") == ["o"]


# --- 8.6 composites ---------------------------------------------------------------------------------------------------


def component(code: str, value: int) -> dict[str, Any]:
    return {"code": {"coding": [{"system": LOINC, "code": code}]}, "valueQuantity": {"value": value, **MG}}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("component-code-value-quantity=8480-6$gt100", True),
        ("component-code-value-quantity=8480-6$lt100", False),  # 80 is the other component's
        (f"component-code-value-quantity={LOINC}|8462-4$80", True),
        ("component-code-value-quantity=http://other|8462-4$80", False),
        (f"component-code-value-quantity=8462-4$80|{UCUM}|mg", True),
        (f"component-code-value-quantity=8462-4$0.080|{UCUM}|g", True),
        ("component-code-value-quantity=8462-4$80||mg", True),
        ("combo-code-value-quantity=8480-6$120", True),
        ("combo-code-value-quantity=1-1$7", True),
        ("combo-code-value-quantity=1-1$120", False),
        ("code-value-quantity=1-1$7", True),
        ("code-value-quantity=1-1$8,1-1$7", True),
        ("code-value-quantity=8480-6$120", False),
        ("combo-code=8480-6", True),
        ("combo-code=1-1", True),
        ("combo-value-quantity=120", True),
        ("component-code:not=8480-6", False),
        ("combo-code:missing=false", True),
    ],
)
async def test_fhir_8_6_both_parts_are_met_by_one_element(library: Library, query: str, found: bool) -> None:
    await library.add(
        observation(
            code={"coding": [{"system": LOINC, "code": "1-1"}]},
            valueQuantity={"value": 7, **MG},
            component=[component("8480-6", 120), component("8462-4", 80)],
        )
    )
    assert (await library.ids(f"Observation?{query}") == ["o"]) is found


async def test_fhir_8_6_a_composite_may_hold_a_reference(library: Library) -> None:
    document = {"resourceType": "DocumentReference", "id": "d", "status": "current", "content": []}
    relates = [{"code": "replaces", "target": {"reference": "DocumentReference/old"}}]
    await library.add({**document, "relatesTo": relates})
    assert await library.ids("DocumentReference?relationship=DocumentReference/old$replaces") == ["d"]
    assert await library.ids("DocumentReference?relationship=DocumentReference/old$appends") == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("code-value-date=1-1$2013-01-14", True),
        ("code-value-date=1-1$ge2013", True),
        ("code-value-date=1-1$lt2013", False),
        ("code-value-date=2-2$2013", False),
        (f"code-value-date={LOINC}|$2013", True),  # any code of a system
        ("code-value-date=http://other|$2013", False),
        ("code-value-concept=1-1$yes", False),  # there is none
        ("component-code-value-concept=c-1$yes", True),
        ("component-code-value-concept=c-1$no", False),  # the other component's
        ("component-code-value-concept=c-2$http://v|no", True),
        ("component-code-value-concept=c-2$http://w|no", False),
        (f"component-code-value-concept={LOINC}|c-2$http://v|no", True),
        ("component-code-value-concept=http://w|c-2$no", False),
        ("combo-code-value-concept=c-1$YES", True),
        ("combo-code-value-concept=1-1$yes", False),
        ("component-code-value-concept=c-1$no,c-2$no", True),
    ],
)
async def test_fhir_8_6_composites_of_codes_dates_and_concepts(library: Library, query: str, found: bool) -> None:
    def part(code: str, value: str) -> dict[str, Any]:
        coded = {"coding": [{"system": "http://v", "code": value}]}
        return {"code": {"coding": [{"system": LOINC, "code": code}]}, "valueCodeableConcept": coded}

    await library.add(
        observation(
            code={"coding": [{"system": LOINC, "code": "1-1"}]},
            valueDateTime="2013-01-14",
            component=[part("c-1", "yes"), part("c-2", "no")],
        )
    )
    assert (await library.ids(f"Observation?{query}") == ["o"]) is found


async def test_fhir_8_6_a_composite_may_hold_a_string(library: Library) -> None:
    await library.add(observation(code={"coding": [{"code": "1-1"}]}, valueString="Müller's sign"))
    assert await library.ids("Observation?code-value-string=1-1$muller") == ["o"]
    assert await library.ids("Observation?code-value-string=1-1$sign") == []
    assert await library.ids("Observation?code-value-string=2-2$muller") == []


# --- 8.7 chains -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("Observation?subject:Patient.name=muller", ["o"]),
        ("Observation?subject.name=muller", ["o"]),  # only Patient has a name among the targets
        ("Observation?patient.identifier=urn:mrn|A1", ["o"]),
        ("Observation?patient.identifier=urn:mrn|A1&code=x", []),
        ("Observation?patient.gender:not=male", ["o"]),
        ("Observation?patient.birthdate:missing=true", ["o"]),
        ("Observation?patient._id=p", ["o"]),
        ("Observation?patient.general-practitioner.name=doc", ["o"]),
        ("Observation?patient.general-practitioner.name=muller", []),
        ("Observation?patient.name=muller&patient.identifier=A1", ["o"]),
        ("Patient?_has:Observation:patient:status=final", ["p"]),
        ("Patient?_has:Observation:patient:status=amended", []),
        ("Patient?_has:Observation:subject:status=amended,final", ["p"]),
        ("Practitioner?_has:Patient:general-practitioner:_has:Observation:patient:status=final", ["d"]),
        ("Practitioner?_has:Patient:general-practitioner:name=muller", ["d"]),
        ("Observation?patient._has:Observation:patient:status=final", ["o"]),
        ("Observation?_has:Observation:has-member:status=final", []),
    ],
)
async def test_fhir_8_7_chains_are_followed_both_ways(library: Library, query: str, found: list[str]) -> None:
    await library.add(
        patient(
            name=[{"family": "Müller"}],
            identifier=[{"system": "urn:mrn", "value": "A1"}],
            generalPractitioner=[{"reference": "Practitioner/d"}],
        ),
        {"resourceType": "Practitioner", "id": "d", "name": [{"family": "Doc"}]},
        observation(subject={"reference": "Patient/p"}),
    )
    assert await library.ids(query) == found


async def test_fhir_8_7_two_chains_may_be_met_by_different_targets(library: Library) -> None:
    performers = [{"reference": "Practitioner/a"}, {"reference": "Practitioner/b"}]
    await library.add(
        {"resourceType": "Practitioner", "id": "a", "name": [{"family": "Abel"}], "active": True},
        {"resourceType": "Practitioner", "id": "b", "name": [{"family": "Bach"}], "active": False},
        observation(performer=performers),
    )
    both = "performer:Practitioner.name=abel&performer:Practitioner.active=false"
    assert await library.ids(f"Observation?{both}") == ["o"]
    assert await library.ids("Observation?performer:Practitioner.name=abel&performer:Practitioner.name=bach") == ["o"]
    assert await library.ids("Observation?performer:Practitioner.name=abel&performer:Practitioner.name=cain") == []


async def test_fhir_8_7_several_levels_lead_through_several_types(library: Library) -> None:
    place = {"location": [{"location": {"reference": "Location/l"}}]}
    encounter = {"resourceType": "Encounter", "id": "e", "status": "finished", "class": {"code": "AMB"}, **place}
    await library.add(
        {"resourceType": "Location", "id": "l", "name": "Ward Ä"},
        encounter,
        observation(encounter={"reference": "Encounter/e"}, subject={"reference": "Patient/p"}),
        patient(),
    )
    assert await library.ids("Observation?encounter.location.name=ward a") == ["o"]
    assert await library.ids("Observation?encounter.location.name:contains=RD") == [
        "o"
    ]  # the modifier of the last part
    assert await library.ids("Observation?encounter.location.name:exact=ward a") == []
    assert await library.ids("Patient?_has:Observation:patient:encounter.location.name=ward") == ["p"]
    assert await library.ids("Observation?encounter:Encounter.class:not=AMB") == []


DEEPEST = [
    "Patient?_has:Observation:patient:" + "_has:Observation:has-member:" * 5 + "status=final",
    "Observation?" + "has-member." * 6 + "status=final",
    "Observation?" + "patient._has:Observation:patient:" * 3 + "status=final",
]


@pytest.mark.parametrize("query", DEEPEST)
async def test_fhir_8_7_the_deepest_chains_that_are_served_are_answered_for_everybody(
    library: Library, query: str
) -> None:
    """Six steps, five keys of the order and a patient's app at once."""
    await library.add(
        patient(), *({**observation(subject={"reference": "Patient/p"}), "id": f"o{at}"} for at in range(2))
    )
    order = "&_sort=_id,-_lastUpdated,identifier,-_profile,_tag&_count=1"
    found = await library.everything(query + order, library.patient_access("p"))
    assert found == (["o0", "o1"] if query == DEEPEST[2] else [])


# --- 7 entry points ---------------------------------------------------------------------------------------------------


async def test_fhir_S3_S7_only_current_versions_are_found(library: Library) -> None:
    await library.add(patient(gender="male", birthDate="2000", name=[{"family": "Old"}]))
    await library.add(patient(gender="female", birthDate="2001", name=[{"family": "New"}]))
    assert await library.ids("Patient?gender=male") == []
    assert await library.ids("Patient?family=old") == []
    assert await library.ids("Patient?birthdate=2000") == []
    assert await library.ids("Patient?gender=female&family=new&birthdate=2001") == ["p"]
    await library.delete("Patient/p")
    for query in ("", "gender=female", "gender:not=male", "gender:missing=true", "_id=p", "_lastUpdated=gt2000"):
        assert await library.ids(f"Patient?{query}") == []


async def test_fhir_S3_an_unknown_id_finds_nothing(library: Library) -> None:
    assert await library.ids("Observation?patient=nobody&code=nothing") == []


@pytest.mark.parametrize(
    ("asked", "found"),
    [("gt2020", True), ("lt2020", False), ("ge2020,lt2000", True), ("eb2020", False), ("sa2020-01-01", True)],
)
async def test_fhir_7_last_updated_is_a_date(library: Library, asked: str, found: bool) -> None:
    await library.add(patient())
    assert (await library.ids(f"Patient?_lastUpdated={asked}") == ["p"]) is found


async def test_security_IN5_what_looks_like_sql_is_just_text(library: Library) -> None:
    await library.add(patient(name=[{"family": "x' OR '1'='1"}]))
    assert await library.ids("Patient?name=x%27 OR %271%27=%271") == ["p"]
    assert await library.ids("Patient?name=%27 OR 1=1 --") == []
    assert await library.ids("Patient?identifier=%27;DROP TABLE fhir_resources;--|x") == []
    assert await library.ids("Patient?_sort=_id") == ["p"]


async def test_TN_another_organization_is_never_searched(library: Library) -> None:
    other = Library(library.database)
    await other.add(patient(gender="male"), observation(subject={"reference": "Patient/p"}))
    for query in (
        "Patient",
        "Patient?gender=male",
        "Observation?patient=p",
        "Patient?_has:Observation:patient:status=final",
    ):
        assert await library.ids(query) == []
