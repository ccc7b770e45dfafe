"""Query strings: what is used, what is left out, what is refused (fhir_rest.md S4, S5, §9; security IN-6, AZ-12)."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.errors import InvalidParameter, ParameterTooCostly, UnsupportedParameter
from fhir_server.fhir.parse.escapes import split, unescape
from fhir_server.fhir.parse.ordered import parse_date
from fhir_server.fhir.parse.search import ParsedSearch, parse_criteria, parse_pairs, parse_search
from storage.search.query import (
    Chain,
    Composite,
    Date,
    Has,
    Ids,
    Match,
    Modifier,
    Number,
    Prefix,
    Quantity,
    Reference,
    ReferenceUrl,
    Text,
    Token,
    Total,
    TypedIdentifier,
    Uri,
)

BASE = "https://fhir.example.org/fhir"


def parsed(query: str, *, strict: bool = False) -> ParsedSearch:
    resource_type, _, rest = query.partition("?")
    return parse_search(resource_type, parse_pairs(rest), strict=strict, base_url=BASE)


def values(query: str) -> tuple[Any, ...]:
    (criterion,) = parsed(query, strict=True).search.criteria
    assert isinstance(criterion, Match)
    return criterion.values


DAY = Date(Prefix.GE, 1_358_121_600_000_000, 1_358_208_000_000_000)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("Patient?gender=male", (Token(None, "male"),)),
        (
            "Patient?identifier=urn:mrn|A1,|B,C,urn:x|",
            (Token("urn:mrn", "A1"), Token("", "B"), Token(None, "C"), Token("urn:x", None)),
        ),
        ("Patient?identifier=a\\|b", (Token(None, "a|b"),)),
        ("Patient?identifier=a\\,b,c", (Token(None, "a,b"), Token(None, "c"))),
        ("Patient?identifier:of-type=s|c|v", (TypedIdentifier("s", "c", "v"),)),
        ("Patient?name=Anna+Maria%20X", (Text("Anna Maria X"),)),
        ("Patient?name=a\\\\b", (Text("a\\b"),)),
        ("Patient?name=a%2Bb", (Text("a+b"),)),
        ("Patient?birthdate=ge2013-01-14", (DAY,)),
        ("Observation?date=ge2013-01-14T00:00:00%2B00:00", (Date(Prefix.GE, DAY.low, DAY.low + 1_000_000),)),
        ("Observation?date=ge2013-01-14T00:00:00+00:00", (Date(Prefix.GE, DAY.low, DAY.low + 1_000_000),)),
        ("ChargeItem?factor-override=lt1e2", (Number(Prefix.LT, Decimal("1e2")),)),
        ("Observation?value-quantity=5.40", (Quantity(Number(Prefix.EQ, Decimal("5.40")), None, None),)),
        ("Observation?value-quantity=5||mg", (Quantity(Number(Prefix.EQ, Decimal(5)), None, "mg"),)),
        ("Observation?value-quantity=ap5|urn:u|mg", (Quantity(Number(Prefix.AP, Decimal(5)), "urn:u", "mg"),)),
        ("Observation?subject=p", (Reference(None, "p"),)),
        ("Observation?subject=Group/p", (Reference("Group", "p"),)),
        (f"Observation?subject={BASE}/Patient/p", (Reference("Patient", "p"),)),
        ("Observation?subject:Patient=p", (Reference("Patient", "p"),)),
        ("Observation?subject=Patient/p/_history/2", (Reference("Patient", "p", "2"),)),
        ("Observation?subject=urn:uuid:1", (ReferenceUrl("urn:uuid:1"),)),
        ("Observation?subject=https://x.org/Patient/1", (ReferenceUrl("https://x.org/Patient/1"),)),
        ("Observation?subject:identifier=s|v", (Token("s", "v"),)),
        ("Observation?_profile=http://x.org/p", (Uri("http://x.org/p"),)),
        (
            "Observation?code-value-quantity=s|c$gt5",
            (Composite((Token("s", "c"), Quantity(Number(Prefix.GT, Decimal(5)), None, None))),),
        ),
        ("Patient?gender=male,,male", (Token(None, "male"),)),
    ],
)
def test_fhir_8_values_are_read(query: str, found: tuple[Any, ...]) -> None:
    assert values(query) == found


@pytest.mark.parametrize(
    "query",
    [
        "Patient?gender:exact=x",  # unknown modifier of the type
        "Patient?gender:nonsense=x",
        "Patient?name:not=x",
        "Patient?birthdate:contains=2013",
        "Patient?birthdate=13-1-2013",
        "Patient?birthdate=2013-02-30",
        "Patient?birthdate=0000",
        "Patient?birthdate=xx2013",
        "Patient?birthdate=ge",
        "Observation?date=2013-01-14T25:00:00Z",
        "Observation?value-quantity=five",
        "Observation?value-quantity=NaN",
        "Observation?value-quantity=Infinity",
        "Observation?value-quantity=1e99999",
        "Observation?value-quantity=|http://x|mg",
        "Observation?value-quantity=5|mg",
        "Observation?value-quantity=5|http://x|",
        "Observation?value-quantity=" + "1" * 200,
        "Patient?identifier=|",
        "Patient?identifier=a|b|c",
        "Patient?identifier:of-type=a|b",
        "Patient?active:missing=maybe",
        "Patient?active:missing=true,false",
        "Observation?subject=not an id",
        "Observation?subject:Practitioner=1",  # no target of the parameter
        "Observation?subject:Patient=Group/1",
        "Observation?code-value-quantity=1-1",
        "Observation?code-value-quantity=1-1$5$6",
        "Observation?code.text=x",  # no reference
        "Observation?subject:Practitioner.name=x",
        "Observation?focus.name=x",  # any type: name one
        "Patient?_has:Observation:patient=x",
        "Patient?_has:Nonsense:patient:code=x",
        "Patient?_has:Observation:encounter:code=x",  # does not refer to Patients
        "Patient?_id=a_b",
        "Patient?_id:not=a",
        "Patient?_lastUpdated=yesterday",
        "Patient?_count=-1",
        "Patient?_count=1.5",
        "Patient?_count=many",
        "Patient?_count=1&_count=2",
        "Patient?_total=maybe",
        "Patient?_summary=maybe",
        "Patient?_include=Patient",
        "Patient?_include=:organization",
        "Patient?_include=Nonsense:x",
        "Patient?_include=Patient:organization:Practitioner",
        "Patient?_include:exact=Patient:organization",
        "Patient?_revinclude=*",
        "Patient?name=%00",
        "Patient?name=%ff",
        "Patient?" + "&".join("gender=male" for _ in range(51)),
        "Patient?gender=" + ",".join(str(n) for n in range(501)),
        "Patient?" + "&".join("_include=Patient:link:Patient" for _ in range(21)),
        "Observation?subject:Patient." + "link:Patient." * 7 + "name=x",
        "Patient?" + "_has:Observation:patient:" + "_has:Observation:has-member:" * 7 + "code=x",
        "Observation?code:below=x",  # above and below of what
        "Observation?code:above=http://x|",
        "Observation?_profile:above=" + "x/" * 51,
        "Observation?_sort=date,_lastUpdated,value-string,_id,value-date,value-quantity",
    ],
)  # fmt: skip
@pytest.mark.parametrize("strict", [True, False])
def test_fhir_S4_malformed_searches_are_always_refused(query: str, strict: bool) -> None:
    with pytest.raises(InvalidParameter):
        parsed(query, strict=strict)


@pytest.mark.parametrize(
    ("asked", "in_utc"),
    [
        ("2013-01-14T10:00", "2013-01-14T09:00Z"),  # winter
        ("2013-07-14T10:00:00", "2013-07-14T08:00:00Z"),  # summer
        ("2013-07-14T10:00:00.5", "2013-07-14T08:00:00.5Z"),
        ("2013-07-14T10:00:00Z", "2013-07-14T10:00:00Z"),  # an offset says it
        ("2013-07-14T10:00:00-05:00", "2013-07-14T15:00:00Z"),
        ("2013-07-14", "2013-07-14"),  # a date has no zone
        ("2013", "2013"),
        ("0001-01-01T00:00", "0001-01-01T00:00-00:00"),
    ],
)
def test_fhir_8_1_times_without_an_offset_are_of_the_servers_zone(asked: str, in_utc: str) -> None:
    zone = ZoneInfo("Europe/Vienna")
    local, same = parse_date(f"ge{asked}", zone), parse_date(f"ge{in_utc}")
    if asked.startswith("0001"):  # before there were zones: the time of the sun
        assert local.low - same.low == local.high - same.high == -3_921_000_000
    else:
        assert local == same
    found = parse_search("Observation", [("date", asked)], strict=True, base_url="", zone=zone)
    assert found.search.criteria[0].values == (parse_date(asked, zone),)
    (criterion,) = parse_criteria("Observation", f"date={asked.replace('+', '%2B')}", zone=zone)
    assert criterion.values == (parse_date(asked, zone),)


@pytest.mark.parametrize(
    "query",
    [
        "Patient?" + "&".join("gender=male" for _ in range(51)),
        "Patient?gender=" + ",".join(str(n) for n in range(501)),
        "Patient?" + "&".join("_include=Patient:link:Patient" for _ in range(21)),
        "Observation?subject:Patient." + "link:Patient." * 7 + "name=x",
        "Patient?" + "_has:Observation:patient:" + "_has:Observation:has-member:" * 7 + "code=x",
        "Observation?_sort=date,_lastUpdated,value-string,_id,value-date,value-quantity",
    ],
)
def test_fhir_8_7_H11_what_passes_a_limit_is_too_costly(query: str) -> None:
    with pytest.raises(ParameterTooCostly):
        parsed(query)


@pytest.mark.parametrize(
    "query",
    [
        "Observation?subject:below=x",
        "Observation?component-code-value-quantity=http://loinc.org|$5",
    ],
)
def test_fhir_S4_what_is_not_supported_is_refused_visibly(query: str) -> None:
    with pytest.raises(UnsupportedParameter) as refusal:
        parsed(query)
    assert refusal.value.parameter


@pytest.mark.parametrize(
    ("query", "ignored"),
    [
        ("Patient?nonsense=1", "nonsense"),
        ("Patient?code=1", "code"),
        ("Patient?organization.nonsense=1", "organization.nonsense"),
        ("Patient?_has:Observation:patient:nonsense=1", "_has:Observation:patient:nonsense"),
        ("Patient?_sort=nonsense", "_sort"),
        ("Observation?_sort=code-value-quantity", "_sort"),
        ("Patient?_include=Patient:nonsense", "_include"),
        ("Patient?_include=Observation:subject", "_include"),
        ("Patient?_revinclude=Observation:subject:Group", "_revinclude"),
        ("Patient?_filter=name eq x", "_filter"),
        ("Patient?_contained=true", "_contained"),
        ("Patient?_contained=both", "_contained"),
        ("Patient?_containedType=container", "_containedType"),
        ("Patient?_score=1", "_score"),
        ("Patient?_maxresults=1", "_maxresults"),
    ],
)
def test_fhir_S4_security_AZ12_unknown_parameters_are_left_out_and_named_or_with_strict_refused(
    query: str, ignored: str
) -> None:
    lenient = parsed(f"{query}&_id=a")
    assert lenient.ignored == (ignored,)
    assert lenient.search.parameters == (("_id", "a"), ("_count", "50"))
    assert lenient.search.criteria == (Ids(query.partition("?")[0], ("a",)),)
    with pytest.raises(InvalidParameter) as refusal:
        parsed(query, strict=True)
    assert refusal.value.parameter == ignored


def test_fhir_S5_empty_values_are_ignored_and_repetition_means_and() -> None:
    search = parsed("Patient?name=&name=a&name=b&name=,", strict=True).search
    assert [criterion.values for criterion in search.criteria if isinstance(criterion, Match)] == [
        (Text("a"),),
        (Text("b"),),
    ]


def test_fhir_S2_the_self_link_shows_defaults_and_caps() -> None:
    assert parsed("Patient").search.parameters == (("_count", "50"),)
    assert parsed("Patient?_count=5000").search.parameters == (("_count", "1000"),)
    assert parsed("Patient?_count=5000").search.count == 1000
    assert parsed("Patient?_format=json&_pretty=true&gender=x&_cursor=abc").search.parameters == (
        ("gender", "x"),
        ("_count", "50"),
    )
    assert parsed("Patient?_cursor=abc").search.cursor == "abc"


@pytest.mark.parametrize("query", ["Patient?_count=0", "Patient?_summary=count"])
def test_fhir_Q1_no_entries_means_an_accurate_total(query: str) -> None:
    search = parsed(query).search
    assert (search.count, search.total) == (0, Total.ACCURATE)


def test_fhir_8_7_chains_are_read_step_by_step() -> None:
    (chain,) = parsed("Observation?encounter.location.name:exact=x", strict=True).search.criteria
    assert isinstance(chain, Chain)
    assert [target.resource_type for target in chain.targets] == ["Encounter"]
    (last,) = [target.criterion for target in chain.targets]
    assert isinstance(last, Chain)
    assert last.parameter.code == "location"
    (criterion,) = [target.criterion for target in last.targets]
    assert isinstance(criterion, Match)
    assert criterion.modifier is Modifier.EXACT


def test_fhir_8_7_without_a_type_a_chain_goes_to_every_target_that_has_the_parameter() -> None:
    (chain,) = parsed("Observation?subject.identifier=x", strict=True).search.criteria
    assert isinstance(chain, Chain)
    assert {target.resource_type for target in chain.targets} == {"Patient", "Group", "Device", "Location"}
    (chain,) = parsed("Observation?subject.birthdate=2000", strict=True).search.criteria
    assert isinstance(chain, Chain)
    assert [target.resource_type for target in chain.targets] == ["Patient"]


def test_fhir_8_7_reverse_chains_are_read() -> None:
    (has,) = parsed("Patient?_has:Observation:patient:code=1", strict=True).search.criteria
    assert isinstance(has, Has)
    assert (has.parameter.resource_type, has.parameter.code) == ("Observation", "patient")


@pytest.mark.parametrize("query", ["", "name=", "_count=1", "nonsense=1", "_sort=_id", "name:not=x", "birthdate=x"])
def test_fhir_C4_a_condition_never_means_everything(query: str) -> None:
    with pytest.raises(InvalidParameter):
        parse_criteria("Patient", query, base_url=BASE)


def test_fhir_C4_a_condition_is_a_search() -> None:
    found = parse_criteria("Patient", "identifier=urn:mrn|A1&gender=male", base_url=BASE)
    assert [each.parameter.code for each in found if isinstance(each, Match)] == ["identifier", "gender"]


def test_security_PH1_messages_hold_no_values() -> None:
    with pytest.raises(InvalidParameter) as refusal:
        parsed("Patient?birthdate=secret-value")
    assert "secret" not in str(refusal.value)
    assert refusal.value.parameter == "birthdate"


@given(st.lists(st.text(alphabet="a\\,$| é", max_size=6), min_size=1, max_size=5), st.sampled_from(",$|"))
def test_fhir_S5_escaped_pieces_come_back(pieces: list[str], separator: str) -> None:
    escaped = [piece.replace("\\", "\\\\").replace(separator, f"\\{separator}") for piece in pieces]
    assert [unescape(piece) for piece in split(separator.join(escaped), separator)] == pieces


@given(
    st.sampled_from(["Patient", "Observation", "MedicationRequest"]),
    st.lists(
        st.tuples(
            st.sampled_from(["name", "code", "date", "_sort", "subject.name", "_has:a:b:c", "_include"]), st.text()
        ),
        max_size=4,
    ),
)
def test_fhir_S4_any_text_is_read_or_refused(resource_type: str, pairs: list[tuple[str, str]]) -> None:
    for strict in (True, False):
        with suppress(InvalidParameter, UnsupportedParameter):
            parse_search(resource_type, pairs, strict=strict, base_url=BASE)
