"""Values as the index holds them (FHIR R4 search.html#date, #string, #number, #quantity; fhir_rest.md §8)."""

import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from storage.search import values as index_values
from storage.search.ucum import canonical_quantity
from storage.search.values import (
    HIGHEST,
    LONGEST_TEXT,
    LOWEST,
    OPEN_HIGH,
    OPEN_LOW,
    after,
    date_range,
    encode_decimal,
    exact_text,
    fold,
    implied_range,
    indexed_uri,
    period_range,
    timing_range,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(text: str) -> int:
    """Microseconds of an ISO instant."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2013", "2013-01-01T00:00:00Z", "2014-01-01T00:00:00Z"),
        ("2013-01", "2013-01-01T00:00:00Z", "2013-02-01T00:00:00Z"),
        ("2013-12", "2013-12-01T00:00:00Z", "2014-01-01T00:00:00Z"),
        ("2012-02-29", "2012-02-29T00:00:00Z", "2012-03-01T00:00:00Z"),
        ("2013-01-14T10:00", "2013-01-14T10:00:00Z", "2013-01-14T10:01:00Z"),
        ("2013-01-14T10:00:05", "2013-01-14T10:00:05Z", "2013-01-14T10:00:06Z"),
        ("2013-01-14T10:00:05.123Z", "2013-01-14T10:00:05.123Z", "2013-01-14T10:00:05.124Z"),
        ("2013-01-14T10:00:05.1Z", "2013-01-14T10:00:05.1Z", "2013-01-14T10:00:05.2Z"),
        ("2013-01-14T10:00:05.1234567Z", "2013-01-14T10:00:05.123456Z", "2013-01-14T10:00:05.123457Z"),
        ("2013-01-14T10:00:05+02:00", "2013-01-14T08:00:05Z", "2013-01-14T08:00:06Z"),
        ("2013-01-14T10:00:05-05:30", "2013-01-14T15:30:05Z", "2013-01-14T15:30:06Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", "2017-01-01T00:00:01Z"),
        ("0001", "0001-01-01T00:00:00Z", "0002-01-01T00:00:00Z"),
    ],
)
def test_fhir_8_1_a_date_is_the_half_open_range_of_its_precision(text, low, high):
    assert date_range(text) == (at(low), at(high))


def test_fhir_8_1_the_year_9999_ends_where_10000_would_begin():
    assert date_range("9999")[1] == date_range("9999-12")[1] == date_range("9999-12-31")[1]
    assert date_range("9999")[1] == at("9999-12-31T23:59:59.999999Z") + 1


def test_fhir_8_1_the_first_day_may_lie_before_the_calendar_in_utc():
    assert date_range("0001-01-01T00:00:00+14:00")[0] == at("0001-01-01T00:00:00Z") - 14 * 3600 * 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        *("", "13", "2013-13", "2013-00", "1974-02-30", "2013-1-1", "2013-01-14T", "2013-01-14T24:00:00Z"),
        *("2013-01-14T10Z", "2013-01-14T10:60", "2013-01-14T10:00:61Z", "2013-01-14T10:00:00+15:00"),
        *("2013-01-14 10:00", "２０１３", "0000", "2013-01-14T10:00:05.Z", "2013Z", " 2013", "2013\n"),
    ],
)
def test_text_that_is_no_date_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011  the calendar has messages of its own
        date_range(text)


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-840, 840))
def test_an_instant_is_the_same_range_in_every_zone(moment, minutes):
    utc = moment.replace(microsecond=0)
    assume(1 < utc.year < 9999)
    sign, size = ("-" if minutes < 0 else "+"), abs(minutes)
    local = (utc + timedelta(minutes=minutes)).replace(tzinfo=None).isoformat()
    assert date_range(f"{local}{sign}{size // 60:02}:{size % 60:02}") == date_range(utc.isoformat()[:-6] + "Z")


@given(st.dates())
def test_a_day_lies_in_its_month_and_a_month_in_its_year(day):
    text = day.isoformat()
    year, month, own = date_range(text[:4]), date_range(text[:7]), date_range(text)
    assert year[0] <= month[0] <= own[0] < own[1] <= month[1] <= year[1]


def test_fhir_8_1_a_period_without_start_or_end_is_open_there():
    assert period_range({"start": "2013"}) == (date_range("2013")[0], OPEN_HIGH)
    assert period_range({"end": "2013-05"}) == (OPEN_LOW, date_range("2013-05")[1])
    assert period_range({"start": "2012", "end": "2013-05"}) == (date_range("2012")[0], date_range("2013-05")[1])
    assert period_range({}) is None


def test_fhir_8_1_a_timing_is_the_hull_of_its_events_and_bounds():
    events = {"event": ["2013-05-02", None, "2012-01-01"]}
    assert timing_range(events) == (date_range("2012-01-01")[0], date_range("2013-05-02")[1])
    bounds = {"repeat": {"boundsPeriod": {"start": "2014"}}}
    assert timing_range(bounds) == (date_range("2014")[0], OPEN_HIGH)
    assert timing_range(events | bounds) == (date_range("2012-01-01")[0], OPEN_HIGH)
    assert timing_range({"repeat": {"frequency": 1}}) is None


# --- strings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Müller", "muller"),
        ("  Van   der\tBerg ", "van der berg"),
        ("Straße", "strasse"),
        ("Søren", "soren"),
        ("Łukasz", "lukasz"),
        ("José", "jose"),
        ("Jose\u0301", "jose"),
        ("ﬁ", "fi"),
        ("ΣΊΣΥΦΟΣ", "σισυφοσ"),
        ("山田", "山田"),
        ("O'Brien", "o'brien"),
        ("100% _sure_", "100% _sure_"),
    ],
)
def test_fhir_8_3_strings_are_folded(text, folded):
    assert fold(text) == folded


@given(st.text(max_size=60))
def test_folding_twice_is_folding_once(text):
    assert fold(fold(text)) == fold(text)


@given(st.text(max_size=40))
def test_folding_ignores_case_composition_and_space_around(text):
    assert fold(f"  {unicodedata.normalize('NFD', text)} ") == fold(unicodedata.normalize("NFC", text))


@given(st.text(max_size=300), st.text(max_size=5))
def test_the_beginning_of_a_text_folds_to_the_beginning_of_its_fold(text, rest):
    assert fold(text + rest).startswith(fold(text))


@given(st.text(max_size=1000))
def test_what_is_indexed_of_a_text_is_bounded(text):
    assert len(fold(text)) <= LONGEST_TEXT
    assert len(exact_text(text)) <= LONGEST_TEXT + 33


def test_fhir_8_3_exact_compares_in_nfc_and_to_the_last_letter():
    assert exact_text("Jose\u0301") == exact_text("José") != exact_text("Jose")
    assert exact_text("a" * 500) != exact_text("a" * 501)


def test_fhir_8_6_uris_are_compared_as_they_are():
    assert indexed_uri("http://Example.org/A") == "http://Example.org/A"
    assert indexed_uri("http://example.org/" + "a" * 500) != indexed_uri("http://example.org/" + "a" * 501)


# --- numbers ----------------------------------------------------------------------------------------------------------

DECIMALS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-1000, max_value=1000, places=3),
    st.integers(-(10**30), 10**30).map(Decimal),
)


@given(DECIMALS, DECIMALS)
def test_fhir_8_2_encoded_decimals_compare_as_the_numbers_do(left, right):
    one, other = encode_decimal(left), encode_decimal(right)
    assert (one < other) == (left < right)
    assert (one == other) == (left == right)
    assert (after(one) <= other) == (left < right)


@given(DECIMALS)
def test_encoded_decimals_lie_between_the_open_ends(value):
    encoded = encode_decimal(value)
    assert LOWEST < encoded < after(encoded) < HIGHEST


@pytest.mark.parametrize("values", [("1.0", "1.00"), ("100", "1E2"), ("0", "-0.000"), ("0E9", "0")])
def test_equal_numbers_encode_equal(values):
    assert len({encode_decimal.__wrapped__(Decimal(value)) for value in values}) == 1


def ten_times(number: Decimal) -> Decimal:
    """Ten times a number, whatever its size."""
    return Context(prec=500, Emax=MAX_EMAX, Emin=MIN_EMIN).scaleb(number, 1)


@pytest.mark.parametrize(
    "value", ["1E+999999", "1E-999999", "1E+101", "1E+99", "1E-101", "1E-102", "9.99E-100", "1" * 400]
)
def test_numbers_of_any_size_keep_their_order(value):
    number = Decimal(value)
    negative = number.copy_negate()
    assert encode_decimal(negative) < encode_decimal(Decimal(0)) < encode_decimal(number)
    assert encode_decimal(number) < encode_decimal(ten_times(number))
    assert encode_decimal(negative) > encode_decimal(ten_times(negative))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="finite"):
        encode_decimal(Decimal(value))
    with pytest.raises(ValueError, match="finite"):
        implied_range(Decimal(value))


@pytest.mark.parametrize(
    ("written", "low", "high"),
    [
        ("100", "99.5", "100.5"),
        ("100.00", "99.995", "100.005"),
        ("1e2", "95", "105"),
        ("5.4", "5.35", "5.45"),
        ("0", "-0.5", "0.5"),
        ("-5.40", "-5.405", "-5.395"),
        ("1" * 60, "1" * 59 + "0.5", "1" * 60 + ".5"),
    ],
)
def test_fhir_N1_a_number_implies_a_range_by_its_digits(written, low, high):
    assert implied_range(Decimal(written)) == (Decimal(low), Decimal(high))


@given(DECIMALS)
def test_a_number_lies_in_the_range_it_implies(value):
    low, high = implied_range(value)
    assert low < value < high


# --- units ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (("1", "g"), ("1000", "mg")),
        (("5.4", "mmol/L"), ("5400", "umol/L")),
        (("1", "mg/dL"), ("10", "mg/L")),
        (("1", "mg/dL"), ("0.01", "g/l")),
        (("120", "mm[Hg]"), ("15.998640", "kPa")),
        (("72", "/min"), ("1.2", "Hz")),
        (("72", "{beats}/min"), ("72", "1/min")),
        (("5", "10*3/uL"), ("5", "10*9/L")),
        (("5", "10^3/uL"), ("5", "10*9/L")),
        (("1", "[lb_av]"), ("453.59237", "g")),
        (("6", "[ft_i]"), ("182.88", "cm")),
        (("37", "Cel"), ("310.15", "K")),
        (("98.6", "[degF]"), ("37.0", "Cel")),
        (("1", "ug/(24.h)"), ("1", "ug/d")),
        (("12", "mL/min/{1.73_m2}"), ("12", "mL/min")),
        (("50", "%"), ("0.5", "1")),
        (("1", "kat"), ("60000000", "U")),
        (("1", "d"), ("24", "h")),
        (("1", "kg.m/s2"), ("1", "N")),
        (("1", "J/(kg.K)"), ("1", "m2.s-2.K-1")),
    ],
)
def test_fhir_N5_equal_amounts_in_different_units_are_equal(left, right):
    one, other = (canonical_quantity(Decimal(value), code) for value, code in (left, right))
    assert one == other


@pytest.mark.parametrize(
    ("left", "right"), [("g", "mol"), ("mmol/L", "mg/dL"), ("mL", "cm"), ("K", "J"), ("mol/L", "1/L")]
)
def test_fhir_N5_different_properties_never_compare(left, right):
    assert canonical_quantity(Decimal(1), left)[1] != canonical_quantity(Decimal(1), right)[1]


@pytest.mark.parametrize("code", ["[iU]/L", "[pH]", "m[iU]", "furlong", "", "/", "mg//dL", "mg/", "(mg", "mg)", "kkg"])
def test_fhir_N5_units_that_cannot_be_converted_are_taken_literally(code):
    assert canonical_quantity(Decimal("1.50"), code) == (Decimal("1.50"), code)


def test_fhir_N7_converted_values_keep_every_digit():
    digits = "1234567890" * 20
    assert canonical_quantity(Decimal(f"0.{digits}"), "kg") == (Decimal(f"123.{digits[3:]}"), "g")


@given(DECIMALS, DECIMALS, st.sampled_from(["mg/dL", "mm[Hg]", "[degF]", "kg", "[oz_av]", "{beats}", "Cel"]))
def test_conversion_keeps_the_order(left, right, code):
    assume(all(abs(number.adjusted()) < 1000 for number in (left, right)))
    one, other = canonical_quantity(left, code)[0], canonical_quantity(right, code)[0]
    assert (one <= other) if left <= right else (one >= other)


MANY = 200_000


@pytest.mark.parametrize("marks", ["\u0300\u0316", "\u0300\uff9e"], ids=["marks", "what is decomposed to marks"])
def test_security_IN7_a_row_of_accents_costs_no_more_than_it_is_long(marks: str, monkeypatch: pytest.MonkeyPatch):
    text, normalize = "a" + marks[0] * MANY + marks[1] * MANY, unicodedata.normalize

    def of_few(form: str, part: str) -> str:
        assert len(part) <= index_values.HARMLESS_TEXT
        return normalize(form, part)

    monkeypatch.setattr(index_values.unicodedata, "normalize", of_few)
    assert index_values.fold(text).startswith("a")
    assert index_values.exact_text(text).startswith("a\u0300")
    assert index_values.exact_text(text) != index_values.exact_text(text + "b")
