"""Index rows of resources (FHIR R4 search.html; fhir_rest.md §8)."""

import gzip
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capability.elements import RESOURCE_TYPES
from capability.search_parameters import SearchType, find, search_parameters
from storage.projection import index_values as rules
from storage.projection.coverage import (
    PATIENT_BIT,
    Answer,
    answer,
    answered_by_patient_column,
    answers_any_code,
    patient_element,
    variants,
)
from storage.projection.index_values import IndexValues, index_fingerprint
from storage.projection.rows import DateValue, QuantityValue, ReferenceValue, StringValue, TokenValue
from storage.search.keys import (
    any_code_key,
    composite_key,
    of_type_key,
    parameter_key,
    reference_identifier_key,
    self_key,
    system_key,
    token_key,
    unit_key,
    unit_qualifier,
    url_key,
)
from storage.search.ucum import UCUM, canonical_quantity
from storage.search.values import (
    HIGHEST,
    LOWEST,
    OPEN_HIGH,
    OPEN_LOW,
    after,
    date_range,
    encode_decimal,
)

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
DECODER = msgspec.json.Decoder(float_hook=Decimal)
LOINC = "http://loinc.org"
PATIENT = self_key("Patient", "p")
HEART_RATE = {"coding": [{"system": LOINC, "code": "8867-4"}], "text": "Heart rate"}


def index_values(resource, base="") -> IndexValues:
    return rules.index_values(resource, base)


def observation(**elements):
    """A heart rate of patient p, with other elements."""
    return {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": HEART_RATE,
        "subject": {"reference": "Patient/p"},
        **elements,
    }


def has(values, code, resource_type="Observation") -> bool:
    """Say whether the presence mask has a parameter."""
    return bool(values.present >> find(resource_type, code).bit & 1)


def under(rows, key):
    """Return the rows of one key."""
    return [row for row in rows if row.key == key]


def encoded(number):
    """Return a single number as its half-open interval."""
    low = encode_decimal(Decimal(number))
    return low, after(low)


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_fhir_8_4_every_coding_of_a_concept_is_a_row_with_its_system():
    concept = {"coding": [{"system": LOINC, "code": "8867-4"}, {"code": "HR"}, {"display": "no code"}]}
    values = index_values(observation(code=concept))
    assert under(values.tokens, token_key("Observation", "code", "8867-4")) == [
        TokenValue(token_key("Observation", "code", "8867-4"), system_key(LOINC))
    ]
    assert TokenValue(token_key("Observation", "code", "hr"), 0) in values.tokens


def test_fhir_8_4_a_code_carries_the_system_of_its_binding():
    values = index_values(observation())
    assert (
        TokenValue(token_key("Observation", "status", "final"), system_key("http://hl7.org/fhir/observation-status"))
        in values.tokens
    )


def test_fhir_8_4_an_identifier_is_found_by_value_system_and_type():
    identifier = {
        "system": "http://h",
        "value": "A7",
        "type": {"coding": [{"system": "http://t", "code": "MR"}]},
    }
    values = index_values({"resourceType": "Patient", "id": "p", "identifier": [identifier]})
    assert {
        TokenValue(token_key("Patient", "identifier", "A7"), system_key("http://h")),
        TokenValue(any_code_key("Patient", "identifier"), system_key("http://h")),
        TokenValue(of_type_key("Patient", "identifier", "MR", "A7"), system_key("http://t")),
    } <= set(values.tokens)
    assert answers_any_code("Patient", "identifier")
    assert not answers_any_code("Observation", "code")
    assert not answers_any_code("Patient", "_id")


def test_fhir_8_4_a_contact_point_has_its_kind_as_system():
    telecom = [{"system": "phone", "value": "+49 1"}, {"system": "email", "value": "A@B.c"}, {"system": "fax"}]
    values = index_values({"resourceType": "Patient", "id": "p", "telecom": telecom})
    assert under(values.tokens, token_key("Patient", "telecom", "+49 1")) == [
        TokenValue(token_key("Patient", "telecom", "+49 1"), system_key("phone"))
    ]
    assert TokenValue(token_key("Patient", "email", "a@b.c"), system_key("email")) in values.tokens
    assert not under(values.tokens, token_key("Patient", "email", "+49 1"))


def test_fhir_8_4_booleans_are_tokens():
    values = index_values({"resourceType": "Patient", "id": "p", "active": False})
    assert TokenValue(token_key("Patient", "active", "false"), 0) in values.tokens
    assert TokenValue(token_key("Patient", "deceased", "false"), 0) in values.tokens
    dead = index_values({"resourceType": "Patient", "id": "p", "deceasedDateTime": "2020-01-01"})
    assert TokenValue(token_key("Patient", "deceased", "true"), 0) in dead.tokens


def test_meta_is_indexed_under_the_common_parameters():
    meta = {
        "tag": [{"system": "http://t", "code": "x"}],
        "security": [{"code": "R"}],
        "profile": ["http://p|1.0"],
        "source": "http://s",
        "versionId": "1",
        "lastUpdated": "2020-01-01T00:00:00Z",
    }
    values = index_values({"resourceType": "Basic", "id": "b", "meta": meta})
    assert set(values.tokens) == {
        TokenValue(token_key("Basic", "_tag", "x"), system_key("http://t")),
        TokenValue(token_key("Basic", "_security", "r"), 0),
    }
    assert set(values.strings) == {
        StringValue(parameter_key("Basic", "_profile"), "http://p", ""),
        StringValue(parameter_key("Basic", "_profile"), "http://p|1.0", ""),
        StringValue(parameter_key("Basic", "_source"), "http://s", ""),
    }
    assert values.dates == ()


# --- strings ----------------------------------------------------------------------------------------------------------


def test_fhir_8_3_every_part_of_a_name_and_an_address_is_a_string():
    name = {"family": "Müller", "given": ["Änne", None], "prefix": ["Dr."], "text": "Dr. Änne Müller"}
    address = {"line": ["1 Main St"], "city": "Köln", "postalCode": "50667", "country": "DE"}
    values = index_values({"resourceType": "Patient", "id": "p", "name": [name], "address": [address]})
    assert [row.value for row in under(values.strings, parameter_key("Patient", "name"))] == [
        "anne", "dr.", "dr. anne muller", "muller",
    ]  # fmt: skip
    assert under(values.strings, parameter_key("Patient", "family")) == [
        StringValue(parameter_key("Patient", "family"), "muller", "Müller")
    ]
    assert len(under(values.strings, parameter_key("Patient", "address"))) == 4
    assert len(under(values.strings, parameter_key("Patient", "address-city"))) == 1


# --- dates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elements", "low", "high"),
    [
        ({"effectiveDateTime": "2013-01-14"}, *date_range("2013-01-14")),
        ({"effectivePeriod": {"start": "2013"}}, date_range("2013")[0], OPEN_HIGH),
        (
            {"effectiveTiming": {"event": ["2013-01-14", "2012"]}},
            date_range("2012")[0],
            date_range("2013-01-14")[1],
        ),
    ],
)
def test_fhir_8_1_the_clinical_date_is_held_by_columns_alone(elements, low, high):
    values = index_values(observation(**elements))
    assert (values.date_low, values.date_high, values.dates) == (low, high, ())
    assert has(values, "date")


@pytest.mark.parametrize("elements", [{}, {"effectiveTiming": {"repeat": {"frequency": 1}}}])
def test_fhir_8_1_without_a_date_the_columns_are_open_and_the_bit_is_not_set(elements):
    values = index_values(observation(**elements))
    assert (values.date_low, values.date_high) == (OPEN_LOW, OPEN_HIGH)
    assert not has(values, "date")


def test_fhir_8_1_other_dates_are_rows():
    condition = {
        "resourceType": "Condition",
        "id": "c",
        "onsetDateTime": "2013",
        "abatementPeriod": {"end": "2014"},
        "extension": [
            {"url": "http://hl7.org/fhir/StructureDefinition/condition-assertedDate", "valueDateTime": "2013-05"}
        ],
    }
    values = index_values(condition)
    assert (values.date_low, values.date_high) == date_range("2013")
    assert set(values.dates) == {
        DateValue(parameter_key("Condition", "abatement-date"), OPEN_LOW, date_range("2014")[1]),
        DateValue(parameter_key("Condition", "asserted-date"), *date_range("2013-05")),
    }


# --- numbers and quantities -------------------------------------------------------------------------------------------


def test_fhir_N4_N5_a_ucum_quantity_has_a_row_as_written_and_one_in_base_units():
    quantity = {"value": Decimal("72.0"), "unit": "/min", "system": UCUM, "code": "/min"}
    values = index_values(observation(valueQuantity=quantity))
    canonical, unit = canonical_quantity(Decimal(72), "/min")
    assert set(values.quantities) == {
        QuantityValue(parameter_key("Observation", "value-quantity"), *encoded("72"), unit_qualifier("/min")),
        QuantityValue(unit_key("Observation", "value-quantity", UCUM, unit), *encoded(canonical), 0),
    }


def test_fhir_N4_a_unit_spelt_differently_from_its_code_is_found_by_both():
    quantity = {"value": 5, "unit": "millilitre", "system": "http://other", "code": "ML"}
    values = index_values(observation(valueQuantity=quantity))
    assert set(values.quantities) == {
        QuantityValue(parameter_key("Observation", "value-quantity"), *encoded(5), unit_qualifier("millilitre")),
        QuantityValue(parameter_key("Observation", "value-quantity"), *encoded(5), unit_qualifier("ML")),
        QuantityValue(unit_key("Observation", "value-quantity", "http://other", "ML"), *encoded(5), 0),
    }


@pytest.mark.parametrize(
    ("comparator", "low", "high"),
    [
        ("<", LOWEST, encoded(5)[0]),
        ("<=", LOWEST, encoded(5)[1]),
        (">", encoded(5)[1], HIGHEST),
        (">=", encoded(5)[0], HIGHEST),
    ],
)
def test_fhir_N6_a_comparator_opens_the_interval(comparator, low, high):
    values = index_values(observation(valueQuantity={"value": 5, "comparator": comparator}))
    assert values.quantities == (QuantityValue(parameter_key("Observation", "value-quantity"), low, high, 0),)


def test_fhir_N6_a_range_is_an_interval_in_its_unit():
    onset = {"low": {"value": 1, "system": UCUM, "code": "a"}, "high": {"value": 2, "system": UCUM, "code": "a"}}
    values = index_values({"resourceType": "Condition", "id": "c", "onsetRange": onset})
    key, unit = parameter_key("Condition", "onset-age"), unit_key("Condition", "onset-age", UCUM, "s")
    years = [canonical_quantity(Decimal(number), "a")[0] for number in (1, 2)]
    assert set(values.quantities) == {
        QuantityValue(key, encoded(1)[0], encoded(2)[1], unit_qualifier("a")),
        QuantityValue(unit, encoded(years[0])[0], encoded(years[1])[1], 0),
    }
    half = index_values({"resourceType": "Condition", "id": "c", "onsetRange": {"high": {"value": 2}}})
    assert half.quantities == (QuantityValue(key, LOWEST, encoded(2)[1], 0),)


def test_numbers_and_money_are_quantities():
    item = {
        "resourceType": "ChargeItem",
        "id": "c",
        "factorOverride": Decimal("0.80"),
        "priceOverride": {"value": 5, "currency": "EUR"},
    }
    values = index_values(item)
    assert set(values.quantities) == {
        QuantityValue(parameter_key("ChargeItem", "factor-override"), *encoded("0.8"), 0),
        QuantityValue(parameter_key("ChargeItem", "price-override"), *encoded(5), unit_qualifier("EUR")),
        QuantityValue(unit_key("ChargeItem", "price-override", "urn:iso:std:iso:4217", "EUR"), *encoded(5), 0),
    }


def test_a_quantity_without_a_value_has_no_row_and_is_missing():
    values = index_values(observation(valueQuantity={"unit": "mg"}))
    assert values.quantities == ()
    assert not has(values, "value-quantity")


# --- references and compartments --------------------------------------------------------------------------------------


def test_the_one_patient_a_resource_is_about_has_no_row():
    values = index_values(observation())
    assert values.patients == (PATIENT,)
    assert values.present >> PATIENT_BIT & 1
    assert values.references == ()
    assert has(values, "subject")
    assert has(values, "patient")


def test_another_subject_has_rows_and_no_patient():
    values = index_values(observation(subject={"reference": "Device/d"}))
    assert values.patients == ()
    assert values.references == (ReferenceValue(parameter_key("Observation", "subject"), self_key("Device", "d")),)
    assert has(values, "subject")
    assert not has(values, "patient")


def test_a_patient_by_another_element_only_is_no_subject():
    values = index_values(observation(subject={"reference": "Device/d"}, performer=[{"reference": "Patient/p"}]))
    assert values.patients == (PATIENT,)
    assert not values.present >> PATIENT_BIT & 1
    assert ReferenceValue(parameter_key("Observation", "performer"), PATIENT) in values.references


def test_smart_E11_a_performer_does_not_share_what_is_about_another_patient():
    values = index_values(observation(performer=[{"reference": "Patient/q"}, {"reference": "Patient/p"}]))
    assert values.patients == (PATIENT,)
    assert values.present >> PATIENT_BIT & 1
    assert {row.key for row in values.references} == {parameter_key("Observation", "performer")}


def test_a_resource_about_no_patient_is_of_every_patient_in_it():
    participants = [{"actor": {"reference": f"Patient/{name}"}, "status": "accepted"} for name in ("p", "q")]
    values = index_values({"resourceType": "Appointment", "id": "a", "status": "booked", "participant": participants})
    assert values.patients == (PATIENT, self_key("Patient", "q"))


def test_settled_4_4_a_device_is_its_patients():
    device = {"resourceType": "Device", "id": "d"}
    assert index_values(device | {"patient": {"reference": "Patient/p"}}).patients == (PATIENT,)
    assert index_values(device).patients == ()


def test_a_patient_that_performs_its_own_observation_is_still_one_patient():
    values = index_values(observation(performer=[{"reference": "Patient/p"}]))
    assert values.patients == (PATIENT,)
    assert values.references == (ReferenceValue(parameter_key("Observation", "performer"), PATIENT),)


def test_a_patient_is_in_its_own_compartment_and_in_no_other():
    link = [{"other": {"reference": "Patient/q"}, "type": "seealso"}]
    values = index_values({"resourceType": "Patient", "id": "p", "link": link})
    assert values.patients == (PATIENT,)
    assert values.references == (ReferenceValue(parameter_key("Patient", "link"), self_key("Patient", "q")),)


def test_absolute_references_below_the_own_base_are_local():
    resource = observation(subject={"reference": "http://h/fhir/Patient/p"})
    assert index_values(resource, base="http://h/fhir").patients == (PATIENT,)
    assert index_values(resource).patients == ()


def test_references_that_no_parameter_covers_have_one_row():
    resource = observation(
        note=[{"text": "x", "authorReference": {"reference": "Practitioner/d"}}],
        extension=[{"url": "http://e", "valueReference": {"reference": "Patient/p"}}],
        contained=[{"resourceType": "Device", "id": "x", "owner": {"reference": "Organization/o"}}],
        device={"reference": "#x"},
        encounter={"reference": "Encounter/e"},
        hasMember=[{"display": "no literal reference"}],
    )
    assert set(index_values(resource).references) == {
        ReferenceValue(0, self_key("Practitioner", "d")),
        ReferenceValue(0, self_key("Organization", "o")),
        ReferenceValue(parameter_key("Observation", "encounter"), self_key("Encounter", "e")),
    }


def test_what_a_bundle_holds_does_not_refer_in_its_name():
    bundle = {"resourceType": "Bundle", "id": "b", "type": "document", "entry": [{"resource": observation()}]}
    assert index_values(bundle).references == ()


def test_fhir_8_5_a_logical_reference_is_found_by_its_identifier():
    values = index_values(observation(subject={"identifier": {"system": "http://h", "value": "A"}}))
    assert TokenValue(reference_identifier_key("Observation", "subject", "A"), system_key("http://h")) in values.tokens


def test_fhir_8_5_canonicals_and_versions_are_found_with_and_without():
    plan = {
        "resourceType": "CarePlan",
        "id": "c",
        "subject": {"reference": "Patient/p"},
        "instantiatesCanonical": ["http://q|2"],
        "encounter": {"reference": "Encounter/e/_history/3"},
    }
    assert set(index_values(plan).references) == {
        ReferenceValue(parameter_key("CarePlan", "instantiates-canonical"), url_key("http://q")),
        ReferenceValue(parameter_key("CarePlan", "instantiates-canonical"), url_key("http://q|2")),
        ReferenceValue(parameter_key("CarePlan", "encounter"), self_key("Encounter", "e")),
        ReferenceValue(parameter_key("CarePlan", "encounter"), url_key("Encounter/e/_history/3")),
    }


@pytest.mark.parametrize(
    ("resource_type", "element"),
    [
        ("Observation", "Observation.subject"),
        ("AllergyIntolerance", "AllergyIntolerance.patient"),
        ("Coverage", "Coverage.beneficiary"),
        ("Encounter", "Encounter.subject"),
        ("EnrollmentRequest", "EnrollmentRequest.candidate"),
        ("Claim", "Claim.patient"),
        ("Device", "Device.patient"),
        ("Appointment", None),
        ("Provenance", None),
        ("Practitioner", None),
    ],
)
def test_a_type_names_its_patient_by_one_element_that_occurs_once(resource_type, element):
    found = patient_element(resource_type)
    assert (found.path.element if found else None) == element


def test_parameters_are_answered_where_their_kind_says():
    assert answered_by_patient_column("Observation", "subject")
    assert answered_by_patient_column("Coverage", "beneficiary")
    assert not answered_by_patient_column("Observation", "performer")
    assert answered_by_patient_column("Device", "patient")
    assert answer("Observation", "date") is Answer.DATE_COLUMNS
    assert answer("Condition", "recorded-date") is Answer.ROWS
    assert answer("Patient", "_id") is Answer.OWN_COLUMNS
    assert answer("Observation", "code-value-quantity") is Answer.CONJUNCTION
    assert answer("Observation", "component-code-value-quantity") is Answer.ROWS
    assert answer("Observation", "combo-code") is Answer.VARIANTS
    with pytest.raises(LookupError):
        answer("Observation", "colour")


# --- composites -------------------------------------------------------------------------------------------------------


def component(code, quantity=None, concept=None):
    value = {"valueQuantity": quantity} if quantity else {"valueCodeableConcept": concept}
    return {"code": {"coding": [{"system": LOINC, "code": code}]}, **value}


def pressure(value):
    return {"value": value, "unit": "mmHg", "system": UCUM, "code": "mm[Hg]"}


def test_fhir_8_6_a_component_composite_is_indexed_per_component():
    values = index_values(observation(component=[component("S", pressure(120)), component("D", pressure(80))]))
    name = "component-code-value-quantity"
    for code, number in (("S", 120), ("D", 80)):
        row = QuantityValue(composite_key("Observation", name, code), *encoded(number), system_key(LOINC))
        assert under(values.quantities, row.key) == [row]
        canonical, unit = canonical_quantity(Decimal(number), "mm[Hg]")
        for key, each in (
            (composite_key("Observation", name, code, "unit", UCUM, unit), canonical),
            (composite_key("Observation", name, code, "text", "mmHg"), number),
            (composite_key("Observation", name, code, "text", "mm[Hg]"), number),
        ):
            assert under(values.quantities, key) == [QuantityValue(key, *encoded(each), system_key(LOINC))]
    assert has(values, name)
    assert has(values, "combo-code-value-quantity")
    assert not has(values, "code-value-quantity")


def test_fhir_8_6_a_composite_of_two_tokens_tells_the_first_system():
    concept = {"coding": [{"system": "http://s", "code": "Pos"}]}
    values = index_values(observation(component=[component("X", concept=concept)]))
    name = "component-code-value-concept"
    for key in (
        composite_key("Observation", name, "x", "code", "pos"),
        composite_key("Observation", name, "x", "code", "pos", LOINC),
    ):
        assert TokenValue(key, system_key("http://s")) in values.tokens


def test_fhir_8_6_a_relationship_joins_code_and_target():
    relation = {"code": "replaces", "target": {"reference": "DocumentReference/1"}}
    values = index_values({"resourceType": "DocumentReference", "id": "d", "relatesTo": [relation]})
    target = self_key("DocumentReference", "1")
    system = "http://hl7.org/fhir/document-relationship-type"
    assert set(values.references) == {
        ReferenceValue(parameter_key("DocumentReference", "relatesto"), target),
        ReferenceValue(composite_key("DocumentReference", "relationship", "replaces"), target),
        ReferenceValue(composite_key("DocumentReference", "relationship", "replaces", "system", system), target),
    }


def test_fhir_8_6_a_group_characteristic_may_be_a_boolean():
    characteristic = [{"code": {"coding": [{"code": "smoker"}]}, "valueBoolean": True, "exclude": False}]
    values = index_values({"resourceType": "Group", "id": "g", "characteristic": characteristic})
    assert TokenValue(composite_key("Group", "characteristic-value", "smoker", "code", "true"), 0) in values.tokens


def test_combined_parameters_have_no_rows_of_their_own():
    assert variants("Observation", "combo-code") == ("code", "component-code")
    assert variants("Observation", "code") == ("code",)
    keys = {parameter_key("Observation", p) for p in search_parameters("Observation") if p.startswith("combo-")}
    values = index_values(observation(valueQuantity=pressure(1), component=[component("S", pressure(120))]))
    assert not keys & {row.key for row in values.quantities}
    assert has(values, "combo-value-quantity")
    assert has(values, "code-value-quantity")


# --- presence, size, samples ------------------------------------------------------------------------------------------


def test_an_ordinary_reading_costs_at_most_eight_rows():
    reading = observation(
        category=[{"coding": [{"system": "http://c", "code": "vital-signs"}]}],
        effectiveDateTime="2024-01-01T00:00:00Z",
        valueQuantity={"value": 72, "unit": "/min", "system": UCUM, "code": "/min"},
        device={"reference": "Device/d"},
    )
    values = index_values(reading)
    assert sum(map(len, (values.tokens, values.strings, values.dates, values.quantities, values.references))) <= 8


def test_presence_follows_the_elements():
    values = index_values(observation(valueString="x"))
    present = {code for code in search_parameters("Observation") if has(values, code)}
    assert present == {
        "_id", "_lastUpdated", "code", "status", "subject", "patient", "value-string",
        "code-value-string", "combo-code",
    }  # fmt: skip


def test_rows_are_distinct_and_sorted():
    twice = {"coding": [*HEART_RATE["coding"], *HEART_RATE["coding"]]}
    values = index_values(observation(code=twice, category=[twice, twice]))
    for rows in (values.tokens, values.strings, values.dates, values.quantities, values.references):
        assert list(rows) == sorted(set(rows))


def test_the_fingerprint_is_the_same_until_the_rules_change():
    assert index_fingerprint() == index_fingerprint()
    assert len(index_fingerprint()) == 32


@given(st.sampled_from(RESOURCE_TYPES))
def test_a_resource_with_nothing_in_it_has_next_to_no_rows(resource_type):
    values = index_values({"resourceType": resource_type, "id": "x"})
    assert len(values.tokens) == (resource_type == "Patient")
    assert not any((values.strings, values.dates, values.quantities, values.references))
    kinds = {p.type for p in search_parameters(resource_type).values()}
    assert kinds <= set(SearchType)


@pytest.mark.skipif(not SHARED.exists(), reason="the sample data are not at hand")
def test_every_official_example_is_indexed():
    for path in sorted((SHARED / "r4-examples").glob("*.json")):
        resource = DECODER.decode(path.read_bytes())
        values = index_values(resource)
        assert values.present, path.name


@pytest.mark.skipif(not SHARED.exists(), reason="the sample data are not at hand")
def test_generated_records_are_indexed_with_eight_rows_a_resource_at_most_on_average():
    rows = resources = 0
    for path in sorted((SHARED / "synthea").glob("0*.json.gz")):
        for entry in DECODER.decode(gzip.decompress(path.read_bytes()))["entry"]:
            values = index_values(entry["resource"])
            resources += 1
            rows += sum(map(len, (values.tokens, values.strings, values.dates, values.quantities, values.references)))
    assert resources > 1000
    assert rows / resources < 9  # every subject is still a urn here, which costs two rows each
