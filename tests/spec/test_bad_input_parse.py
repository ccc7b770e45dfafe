"""Bodies that are no JSON, or JSON that cannot be kept (fhir_rest H5, H11, H12; security IN-1, IN-2, IN-7)."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.errors import BodyTooComplex, MalformedBody, NumberOutOfRange
from fhir_server.fhir.json_body import JsonLimits, encode_json, parse_json


@pytest.mark.parametrize(
    ("body", "remedy"),
    [
        (b"", "missing"),
        (b" \n", "missing"),
        (b"\xef\xbb\xbf", "missing"),
        (b"{", "ends early"),
        (b'{"a":1,}', "line 1, column 8"),
        (b'{\n"a" 1}', "line 2"),
        (b"{} {}", "trailing"),
        (b"{'a':1}", "no JSON"),
        (b"<Patient/>", "no JSON"),
        (b'{"a":NaN}', "no JSON"),
        (b'{"a":Infinity}', "no JSON"),
        (b'{"a":-Infinity}', "no JSON"),
        (b'{"a":01}', "no JSON"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b'{"a":"\xc0\x80"}', "UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "UTF-8"),
        ('{"a":"é"}'.encode("latin-1"), "UTF-8"),
        ('{"a":1}'.encode("utf-16"), "UTF-8"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"a":"\\udc00"}', "surrogate"),
        (b'{"\\ud83d":1}', "surrogate"),
        (b'{"a":"\x00"}', "no JSON"),
        (b'{"a":"\x1f"}', "no JSON"),
        (b'{"a":"\\u0000"}', "U+0000"),
        (b'{"\\u0000":"a"}', "U+0000"),
        (b'{"a":"\\\\\\u0000"}', "U+0000"),
        (b'{"a":1,"a":2}', "more than once"),
    ],
)
def test_fhir_H5_a_body_is_refused_with_the_remedy_when(body, remedy):
    with pytest.raises(MalformedBody, match=None) as refused:
        parse_json(body)
    assert remedy in str(refused.value)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"resourceType":"Patient","active":true,"active":true}', "Patient.active"),
        (b'{"resourceType":"Patient","name":[{},{"text" : "a", "text" : "b"}]}', "Patient.name[1].text"),
        (b'{"a":{"\\u0062":1,"b":2}}', "$.a.b"),
        (b'{"b":"\\u0022:","a":1,"a":2}', "$.a"),
        (b'{"b":"\\u003a","a":1,"a":2}', "$.a"),
        (b'{"b":":\\\\","a":1,\n"a"\t:2}', "$.a"),
        ('{"Jürgen Müller":1,"Jürgen Müller":2}'.encode(), "$.?"),
    ],
)
def test_fhir_H5_a_repeated_key_is_named_but_no_value_when(body, place):
    with pytest.raises(MalformedBody) as refused:
        parse_json(body)
    assert refused.value.expressions == (place,)


def test_fhir_H5_a_byte_order_mark_is_tolerated():
    assert parse_json(b'\xef\xbb\xbf{"a":1}') == {"a": 1}


def test_security_IN2_an_escaped_backslash_before_u0000_is_no_nul():
    assert parse_json(rb'["\\u0000"]') == ["\\u0000"]


def test_security_IN2_a_pair_of_surrogates_is_one_character():
    assert parse_json(rb'["\ud83d\ude00"]') == ["😀"]


@pytest.mark.parametrize(
    "number",
    ["1" + "0" * 400, "1." + "0" * 399, "1e309", "-1E400", "1e-400", "1E99999999999999999999", "9" * 5000],
)
def test_security_IN1_a_number_is_refused_when_too_long_or_infinite(number):
    with pytest.raises(NumberOutOfRange, match="round it"):
        parse_json(f'{{"a":{number}}}'.encode())


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
@pytest.mark.parametrize("levels", [65, 1_000, 10_000, 1_000_000])
def test_fhir_H11_nesting_beyond_the_limit_is_refused_closed_or_not(opening, levels):
    closing = {b"[": b"]", b'{"a":': b"}", b'[{"a":': b"}]"}[opening]
    for body in (opening * levels + b"1" + closing * levels, opening * levels):
        with pytest.raises((BodyTooComplex, MalformedBody)):
            parse_json(body)
    with pytest.raises(BodyTooComplex):
        parse_json(opening * levels + b"1" + closing * levels)


def test_fhir_H11_nesting_up_to_the_limit_is_accepted():
    assert parse_json(b"[" * 64 + b"]" * 64)
    assert parse_json(b'{"a":' * 64 + b"1" + b"}" * 64)


def test_fhir_H11_brackets_in_texts_hide_no_nesting():
    with pytest.raises(BodyTooComplex):
        parse_json((b'["]]",' * 65) + b"1" + b"]" * 65)


def test_fhir_H11_brackets_in_texts_are_no_nesting():
    assert parse_json(b'["' + b"[" * 500 + b'"]') == ["[" * 500]


@pytest.mark.parametrize(
    "body", [b"[" + b"0," * 200 + b"0]", b"[" + b"{}," * 100 + b"{}]", b"[" + b"[]," * 100 + b"0]"]
)
def test_fhir_H11_more_values_than_the_limit_are_refused(body):
    with pytest.raises(BodyTooComplex, match="100 JSON values"):
        parse_json(body, JsonLimits(nodes=100))


def test_fhir_H11_commas_in_texts_are_no_values():
    assert parse_json(b'["' + b"," * 1000 + b'"]', JsonLimits(nodes=100))


@pytest.mark.parametrize(
    "number", ["1.10", "1.0", "100", "1E2", "1e-7", "-0.0", "-0", "0.000", "123456789012345678901234567890"]
)
def test_fhir_H12_a_number_keeps_its_digits(number):
    again = encode_json(parse_json(f'{{"a":{number}}}'.encode()))
    shown = json.loads(again, parse_float=Decimal, parse_int=Decimal)["a"]
    assert shown.as_tuple() == Decimal(number).as_tuple()


def test_fhir_H12_numbers_keep_their_digits_where_keys_are_spaced():
    assert parse_json(b'{"a" : 72.250000}')["a"].as_tuple() == Decimal("72.250000").as_tuple()


numbers = st.one_of(
    st.integers(min_value=-(10**40), max_value=10**40),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=6),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(st.characters(exclude_characters="\0", codec="utf-8"))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5), inner, max_size=4),
    ),
    max_leaves=20,
)


@given(values)
def test_what_is_encoded_is_parsed_to_the_same_value(value):
    assert parse_json(encode_json(value)) == value


@given(values, st.booleans(), st.sampled_from([None, 1, 4]))
def test_escapes_and_white_space_make_no_difference(value, ascii_only, indent):
    text = json.dumps(json.loads(encode_json(value)), ensure_ascii=ascii_only, indent=indent)
    assert parse_json(text.encode()) == json.loads(text, parse_float=Decimal)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4), values, min_size=1, max_size=4
    ),
    st.data(),
)
def test_a_repeated_key_never_passes(members, data):
    repeated = data.draw(st.sampled_from(sorted(members)))
    pairs = [*members.items(), (repeated, data.draw(values))]
    ascii_only = data.draw(st.booleans())
    space = data.draw(st.sampled_from(["", " ", "\n", "\t"]))
    body = (
        "{"
        + ",".join(
            f"{json.dumps(key, ensure_ascii=ascii_only)}{space}:{encode_json(member).decode()}" for key, member in pairs
        )
        + "}"
    )
    with pytest.raises(MalformedBody, match="more than once"):
        parse_json(body.encode())


@given(st.binary(max_size=200))
def test_security_IN2_any_bytes_give_a_value_or_a_request_error(body):
    with contextlib.suppress(MalformedBody, BodyTooComplex):
        parse_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b'"' + b'\\"' * 500_000,
        b'"' + b"\\\\" * 500_000,
        b'["' + b"\\" * 999_999,
        b"[" + b'"",' * 300_000,
        b"-0" * 100_000,
    ],
)
def test_security_IN7_long_odd_bodies_are_read_once_and_refused(body):
    with pytest.raises((MalformedBody, BodyTooComplex)):
        parse_json(body, JsonLimits(nodes=1000))
