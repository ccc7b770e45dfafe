"""What apps ask of the authorization endpoint, checked (`smart.md` §4, §6, §7, §15, §16; security OA-2, OA-3, OA-12).

Everything here is pure: pairs and a client give parameters, a refusal on a page, or an error that the app is told.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capability.roles import assignable_roles
from fhir_server.access import RESOURCE_TYPES
from fhir_server.oauth.authorization_checks import (
    Parameters,
    Rejected,
    answer_address,
    check,
    client_id_of,
    is_private_use,
    is_registered,
    rejection_address,
)
from fhir_server.oauth.consent import Unticked, agreed, parts_of
from fhir_server.oauth.deciding import Progress, Step, covers, needs_patient, next_step, offer
from fhir_server.oauth.errors import InvalidRequest
from fhir_server.oauth.launches import launch_request
from fhir_server.oauth.scopes import intersect, parse_scopes
from fhir_server.pages.page import PageRefused
from fhir_server.settings import Settings
from storage.repositories.entities import Client

SETTINGS = Settings(base_url="https://host.example", secret="s" * 40)
BASE = "https://host.example/fhir"
REDIRECT = "https://app.example/callback"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # RFC 7636 appendix B
STYLE = "https://host.example/static/smart-style-0.json"
CLIENT = Client(
    id="app",
    type="public",
    redirect_uris=(REDIRECT, "https://app.example/cb?tenant=1", "com.example.app:/cb"),
    scope="launch launch/patient openid fhirUser offline_access patient/*.cruds user/Observation.rs",
)
NATIVE = Client(
    id="native", type="public", is_native=True, redirect_uris=("http://127.0.0.1/cb", "http://[::1]/cb?x=1")
)
ASKED = {
    "response_type": "code",
    "client_id": "app",
    "redirect_uri": REDIRECT,
    "scope": "launch/patient patient/*.rs",
    "state": "xyz",
    "aud": BASE,
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


def pairs(**changes: str | None) -> list[tuple[str, str]]:
    """Return a good request with changes; None leaves a parameter out."""
    return [(name, value) for name, value in ({**ASKED, **changes}).items() if value is not None]


def checked(client: Client = CLIENT, **changes: str | None) -> Parameters:
    return check(pairs(**changes), client, SETTINGS)


def rejection(client: Client = CLIENT, **changes: str | None) -> Rejected:
    with pytest.raises(Rejected) as told:
        checked(client, **changes)
    return told.value


# --- who asks, and where the answer goes ------------------------------------------------------------------------------


def test_smart_A1_a_good_request_is_taken():
    assert checked() == Parameters(REDIRECT, "xyz", "launch/patient patient/*.rs", CHALLENGE)


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "https://evil.example/callback",
        "https://app.example.evil.example/callback",
        "https://app.example@evil.example/callback",
        "https://evil.example/https://app.example/callback",
        "https://app.example/callback/",
        "https://app.example/callback/more",
        "https://app.example/callback?more=1",
        "https://app.example/callback#fragment",
        "https://app.example/callback#",
        "https://app.example/Callback",
        "https://APP.example/callback",
        "HTTPS://app.example/callback",
        "http://app.example/callback",
        "https://app.example:443/callback",
        "https://app.example:8443/callback",
        "https://app.example/x/../callback",
        "https://app.example/%2e%2e/callback",
        "https://app.example/./callback",
        "https://app.example//callback",
        "https://app.example/callback%00",
        "https://app.example/callback%0d%0aSet-Cookie:x=1",
        "https://app.example/callback ",
        " https://app.example/callback",
        "https://app.example/callback\r\nX: 1",
        "https://app.example\\@evil.example/callback",
        "//app.example/callback",
        "/callback",
        "javascript:alert(1)//https://app.example/callback",
        "data:text/html,x",
        "com.example.app:/other",
        "com.example.app://cb",
        "https://app.example/cb",
        "https://app.example/cb?tenant=2",
        "https://аpp.example/callback",
        "",
    ],
)
def test_smart_A3_16_security_OA3_what_is_not_registered_letter_by_letter_is_refused_on_our_page(redirect_uri):
    with pytest.raises(PageRefused) as refused:
        checked(redirect_uri=redirect_uri)
    assert refused.value.status == 400
    assert not redirect_uri.strip() or redirect_uri not in refused.value.message


@pytest.mark.parametrize(
    ("redirect_uri", "is_good"),
    [
        ("http://127.0.0.1/cb", True),
        ("http://127.0.0.1:49152/cb", True),
        ("http://127.0.0.1:80/cb", True),
        ("http://[::1]:9/cb?x=1", True),
        ("http://127.0.0.1:49152/other", False),
        ("http://127.0.0.1:49152/cb?x=1", False),
        ("http://[::1]:9/cb", False),
        ("http://localhost:49152/cb", False),
        ("https://127.0.0.1:49152/cb", False),
        ("http://127.0.0.1:/cb", False),
        ("http://127.0.0.1:0/cb", False),
        ("http://127.0.0.1:65536/cb", False),
        ("http://127.0.0.1:80@evil.example/cb", False),
        ("http://127.0.0.1:80.evil.example/cb", False),
        ("http://127.0.0.1.evil.example:80/cb", False),
        ("http://127.0.0.2:80/cb", False),
        ("http://127.1:80/cb", False),
        ("http://2130706433:80/cb", False),
        ("http://user@127.0.0.1:80/cb", False),
        ("http://127.0.0.1:80/cb#x", False),
        ("http://127.0.0.1:٨٠/cb", False),
    ],
)
def test_smart_A3_the_port_of_a_loopback_literal_may_vary_for_native_apps(redirect_uri, is_good):
    assert is_registered(redirect_uri, NATIVE) is is_good
    fixed = replace(NATIVE, is_native=False)
    assert is_registered(redirect_uri, fixed) is (redirect_uri in NATIVE.redirect_uris)


@pytest.mark.parametrize(
    "given_pairs",
    [
        [],
        [("client_id", "")],
        [("client_id", "app"), ("client_id", "app")],
        [("client_id", "app"), ("client_id", "other")],
        [("client_id", "a\nb")],
        [("client_id", "x" * 5000)],
    ],
)
def test_smart_A2_a_client_id_that_is_missing_or_repeated_is_refused_on_our_page(given_pairs):
    with pytest.raises(PageRefused) as refused:
        client_id_of(given_pairs)
    assert refused.value.status == 400


@pytest.mark.parametrize("client", [None, replace(CLIENT, is_active=False)])
def test_smart_A2_R6_an_unknown_and_a_disabled_client_are_refused_on_our_page(client):
    with pytest.raises(PageRefused) as refused:
        check(pairs(), client, SETTINGS)
    assert refused.value.status == 400


@pytest.mark.parametrize("second", [REDIRECT, "https://evil.example/"])
def test_smart_A2_a_repeated_redirect_uri_is_refused_on_our_page(second):
    with pytest.raises(PageRefused):
        check([*pairs(), ("redirect_uri", second)], CLIENT, SETTINGS)


@pytest.mark.parametrize("character", ["\r", "\n", "\0"])
@pytest.mark.parametrize("name", ["state", "scope", "nonce", "login_hint", "whatever"])
def test_security_IN8_line_breaks_and_nul_anywhere_are_refused_on_our_page(name, character):
    with pytest.raises(PageRefused) as refused:
        checked(**{name: f"a{character}b"})
    assert refused.value.status == 400


@pytest.mark.parametrize("name", [name for name in ASKED if name not in {"client_id", "redirect_uri"}] + ["nonce", "x"])
def test_smart_16_a_repeated_parameter_is_an_error(name):
    with pytest.raises(Rejected) as told:
        check([*pairs(nonce="n", x="1"), (name, "again")], CLIENT, SETTINGS)
    assert told.value.code == "invalid_request"
    assert told.value.state == (None if name == "state" else "xyz")


# --- what is wrong with the rest is told to the app -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": ""}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"response_mode": "form_post"}, "invalid_request"),
        ({"request": "eyJ..."}, "request_not_supported"),
        ({"request_uri": "https://evil.example/r"}, "request_uri_not_supported"),
        ({"state": None}, "invalid_request"),
        ({"state": ""}, "invalid_request"),
        ({"state": "s" * 5000}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "1e3"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"nonce": "n" * 5000}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "nothing/known"}, "invalid_scope"),
        ({"scope": "system/*.rs"}, "invalid_scope"),
        ({"scope": "user/Patient.rs"}, "invalid_scope"),
        ({"scope": "patient/Observation.sr"}, "invalid_scope"),
        ({"scope": "launch"}, "invalid_scope"),
        ({"scope": "patient/Patient.r " * 600}, "invalid_scope"),
    ],
)
def test_smart_A4_another_fault_is_told_to_the_app(changes, code):
    told = rejection(**changes)
    assert told.code == code
    assert told.redirect_uri == REDIRECT
    assert told.state == (changes.get("state", "xyz") or None)


@pytest.mark.parametrize("client", [replace(CLIENT, type="backend"), replace(CLIENT, metadata={"grant_types": ["x"]})])
def test_smart_A4_a_client_that_is_not_registered_for_codes_is_unauthorized(client):
    assert rejection(client).code == "unauthorized_client"


@pytest.mark.parametrize("audience", [BASE, f"{BASE}/"])
@pytest.mark.parametrize("name", ["aud", "resource"])
def test_smart_A5_the_audience_is_the_fhir_base_with_or_without_one_slash(name, audience):
    assert checked(**{"aud": None, name: audience}).redirect_uri == REDIRECT


@pytest.mark.parametrize(
    "audience",
    [
        None,
        "",
        "https://host.example",
        f"{BASE}//",
        f"{BASE}/Patient",
        "https://host.example/FHIR",
        "http://host.example/fhir",
        "https://host.example:443/fhir",
        "https://evil.example/fhir",
        f"{BASE}?x",
        f" {BASE}",
    ],
)
def test_smart_A5_another_audience_gets_no_code(audience):
    assert rejection(aud=audience).code == "invalid_request"


def test_smart_A5_two_names_of_the_audience_that_differ_are_an_error():
    assert rejection(resource="https://evil.example/fhir").code == "invalid_request"


@pytest.mark.parametrize(
    ("challenge", "method"),
    [
        (None, "S256"),
        (None, None),
        ("", "S256"),
        (CHALLENGE, None),
        (CHALLENGE, "plain"),
        (CHALLENGE, "s256"),
        (CHALLENGE, ""),
        (CHALLENGE[:-1], "S256"),
        (f"{CHALLENGE}A", "S256"),
        (CHALLENGE[:-1] + "=", "S256"),
        (CHALLENGE[:-1] + "+", "S256"),
        (CHALLENGE[:-1] + "/", "S256"),
        (CHALLENGE[:-1] + "é", "S256"),
        ("A" * 128, "S256"),
    ],
)
@pytest.mark.parametrize("kind", ["public", "confidential"])
def test_smart_A6_security_OA2_a_challenge_of_43_characters_by_S256_is_asked_of_every_client(kind, challenge, method):
    client = replace(CLIENT, type=kind, organization_id="org")
    assert rejection(client, code_challenge=challenge, code_challenge_method=method).code == "invalid_request"


@pytest.mark.parametrize(
    "state", ["xyz", "a b+c", "%41", "a&b=c#d?e", "é ü 漢", "~!@#$%^*()", "x" * 2000, '<script>"', "a/b:c"]
)
def test_smart_A7_state_comes_back_byte_for_byte(state):
    assert checked(state=state).state == state
    for address in (
        answer_address(REDIRECT, {"code": "c", "state": state}, "https://host.example"),
        rejection_address(Rejected("access_denied", "No.", REDIRECT, state), "https://host.example"),
    ):
        assert address.isascii()
        assert parse_qs(urlsplit(address).query)["state"] == [state]
        assert urlsplit(address).netloc == "app.example"


@pytest.mark.parametrize(
    ("redirect_uri", "start"),
    [
        ("https://app.example/cb", "https://app.example/cb?code=c"),
        ("https://app.example/cb?a=1&b=%20x", "https://app.example/cb?a=1&b=%20x&code=c"),
        ("https://app.example/cb?", "https://app.example/cb?code=c"),
        ("https://app.example/cb?a&", "https://app.example/cb?a&code=c"),
        ("com.example.app:/cb", "com.example.app:/cb?code=c"),
    ],
)
def test_smart_A8_the_query_of_a_redirect_uri_is_kept(redirect_uri, start):
    assert answer_address(redirect_uri, {"code": "c", "state": "s"}, "https://host.example").startswith(f"{start}&")


def test_smart_A9_answers_and_errors_name_the_issuer():
    error = rejection(aud=None)
    told = dict(parse_qsl(urlsplit(rejection_address(error, "https://host.example")).query))
    assert told["iss"] == "https://host.example"
    assert told["error"] == "invalid_request"
    assert told["error_description"]
    assert told["state"] == "xyz"


def test_smart_A13_a_long_list_of_granular_scopes_is_taken():
    codes = ("laboratory", "vital-signs", "survey", "social-history")
    words = [
        f"patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|{code}"
        for code in codes
    ]
    words += [f"patient/{name}.rs" for name in sorted(RESOURCE_TYPES)[:100]]
    assert checked(scope=" ".join(words)).scope.split() == words


def test_smart_4_parameters_of_openid_connect_are_honoured_or_ignored():
    taken = checked(
        prompt="consent nonsense",
        max_age="60",
        login_hint="me@example.org",
        nonce="n",
        display="touch",
        ui_locales="de",
        id_token_hint="x",
        acr_values="1",
    )
    assert (taken.prompt, taken.max_age, taken.login_hint, taken.nonce) == (("consent",), 60, "me@example.org", "n")


def test_smart_A12_parameters_are_kept_as_they_were_checked():
    taken = checked(prompt="login", max_age="0", nonce="n")
    assert Parameters.from_json(taken.to_json()) == taken


def test_smart_L3_the_launch_is_taken_with_the_scope_launch_and_ignored_without():
    assert checked(scope="launch patient/*.rs", launch="abc").launch == "abc"
    assert checked(scope="patient/*.rs", launch="abc").launch is None
    assert checked(scope="launch patient/*.rs", launch="abc").to_json()["launch"] is None


@pytest.mark.parametrize(
    "word",
    [
        "launch/imagingstudy",
        "launch/patient?role=https://example.org/donor",
        "__custom",
        "https://example.org/scope",
        "patient/Nothing.rs",
        "Patient/*.rs",
        "patient/*.rs?category=laboratory",
        "patient/Observation.rs?code:in=http://x",
        "patient/Observation.rs?_filter=code eq x",
        "email",
    ],
)
def test_smart_C9_C13_P5_scopes_that_are_not_served_are_left_out_and_the_flow_goes_on(word):
    client = replace(CLIENT, scope=f"patient/*.cruds launch/patient {word}")
    assert checked(client, scope=f"launch/patient {word} patient/Patient.r").scope == "launch/patient patient/Patient.r"


def test_smart_C14_scopes_may_be_written_as_addresses():
    word = "http://smarthealthit.org/fhir/scopes/patient/Patient.r"
    assert checked(scope=word).scope == word


def test_smart_P4_the_scope_launch_without_a_launch_is_not_granted():
    assert checked(scope="launch patient/*.rs").scope == "patient/*.rs"


# --- scopes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "scope", "offered"),
    [
        ("PATIENT", "patient/*.rs openid fhirUser", "patient/*.rs openid fhirUser"),
        ("PATIENT", "patient/Observation.read user/*.*", "patient/Observation.read user/*.crus"),
        ("NURSE", "user/Observation.cruds", "user/Observation.crus"),  # nurses delete nothing
        ("CLINICIAN", "user/Practitioner.cruds", "user/Practitioner.rs"),
        ("CLINICIAN", "patient/VisionPrescription.rs", "patient/VisionPrescription.rs"),  # no data, granted (C1)
        ("CLINICIAN", "patient/AuditEvent.rs patient/Patient.r", "patient/Patient.r"),
        ("CLINICIAN", "system/*.rs user/Patient.r", "user/Patient.r"),
        ("CLINICIAN", "offline_access online_access user/Patient.r", "offline_access user/Patient.r"),
        ("CLINICIAN", "online_access user/Patient.r", "online_access user/Patient.r"),
        ("CLINICIAN", "fhirUser user/Patient.r", "user/Patient.r"),
        ("CLINICIAN", "openid launch/patient launch/encounter", "openid launch/patient launch/encounter"),
        (
            "NURSE",
            "user/Observation.rd?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
            "user/Observation.r?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
        ),
    ],
)
def test_smart_C4_what_is_offered_is_what_the_role_can_have(role, scope, offered):
    assert " ".join(offer(scope, role, has_fhir_user=True)) == offered


def test_smart_O7_fhir_user_goes_where_nothing_stands_for_the_person():
    assert offer("openid fhirUser", "CLINICIAN", has_fhir_user=False) == ("openid",)


SCOPES = st.lists(
    st.builds(
        "{}/{}.{}".format,
        st.sampled_from(("patient", "user", "system")),
        st.sampled_from(("*", "Patient", "Observation", "Practitioner", "AuditEvent", "Claim")),
        st.sampled_from(("r", "s", "rs", "cruds", "cud", "d", "read", "write", "*")),
    ),
    min_size=1,
    max_size=6,
)


@given(scopes=SCOPES, role=st.sampled_from(assignable_roles()))
def test_smart_C12_what_is_offered_is_never_more_than_was_asked_and_never_system(scopes, role):
    words = offer(" ".join(scopes), role, has_fhir_user=True)
    asked = parse_scopes(" ".join(scopes), RESOURCE_TYPES).fhir
    for scope in parse_scopes(" ".join(words), RESOURCE_TYPES).fhir:
        assert scope.level != "system"
        assert scope in intersect((scope,), asked)


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["patient/Observation.rs"], True),
        (["launch/patient"], True),
        (["launch/encounter"], True),
        (["user/*.rs", "openid", "launch"], False),
    ],
)
def test_smart_P1_P3_a_patient_is_needed_for_patient_scopes_and_when_asked_for(words, needed):
    assert needs_patient(words) is needed


@pytest.mark.parametrize(
    ("progress", "step"),
    [
        (Progress(None, (), None, None), Step.ORGANIZATION),
        (Progress("org", ("patient/*.rs",), None, None), Step.PATIENT),
        (Progress("org", ("patient/*.rs",), "pat", None), Step.CONSENT),
        (Progress("org", ("launch/encounter",), "pat", None), Step.ENCOUNTER),
        (Progress("org", ("launch/encounter",), "pat", ""), Step.CONSENT),
        (Progress("org", ("user/*.rs",), None, None), Step.CONSENT),
    ],
)
def test_smart_P2_pages_come_in_their_order(progress, step):
    assert next_step(progress) is step


@pytest.mark.parametrize(
    ("earlier", "words", "is_covered"),
    [
        ("patient/*.rs openid", ["patient/*.rs"], True),
        ("patient/*.rs", ["patient/Observation.rs"], True),
        ("patient/*.read", ["patient/*.rs"], True),
        ("patient/Observation.rs", ["patient/*.rs"], False),
        ("patient/*.rs", ["patient/*.rs", "offline_access"], False),
        ("patient/*.rs", ["user/*.rs"], False),
        ("patient/*.rs", ["patient/*.cruds"], False),
        (
            "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
            ["patient/Observation.rs"],
            False,
        ),
    ],
)
def test_smart_15_consent_is_remembered_only_for_what_did_not_grow(earlier, words, is_covered):
    assert covers(earlier, words) is is_covered


# --- consent ----------------------------------------------------------------------------------------------------------

LETTER_SETS = ("r", "s", "rs", "c", "u", "d", "cu", "cud", "cruds", "crs")
WORDS = (
    "launch/patient",
    "openid",
    "fhirUser",
    "patient/Observation.cruds",
    "patient/Condition.read",
    "offline_access",
)
EVERY = {"3.read", "3.change", "3.delete", "4.read", "identity", "stay"}


def test_smart_15_every_part_of_a_scope_has_a_box():
    assert [part.value for part in parts_of(WORDS, ())] == ["3.read", "3.change", "3.delete", "4.read"]


@pytest.mark.parametrize(
    ("ticked", "granted"),
    [
        (EVERY, WORDS),
        (EVERY - {"stay"}, WORDS[:-1]),
        (EVERY - {"identity"}, ("launch/patient", *WORDS[3:])),
        ({"3.read"}, ("launch/patient", "patient/Observation.rs")),
        ({"3.read", "3.delete"}, ("launch/patient", "patient/Observation.rds")),
        ({"4.read"}, ("launch/patient", "patient/Condition.read")),
        ({"identity"}, ("launch/patient", "openid", "fhirUser")),
    ],
)
def test_smart_15_each_scope_can_be_unticked(ticked, granted):
    assert agreed(WORDS, (), ticked, {}) == granted


@pytest.mark.parametrize("ticked", [set(), {"stay"}, {"99.read"}, {"3.nothing", "patient/*.cruds"}])
def test_smart_15_something_has_to_be_ticked(ticked):
    with pytest.raises(Unticked):
        agreed(WORDS, (), ticked, {})


def test_smart_C8_a_type_can_be_narrowed_to_categories_and_keeps_no_scope_of_all_of_it():
    narrowed = {3: {"laboratory", "sdoh"}, 4: {"health-concern"}}
    assert agreed(("patient/Patient.r", *WORDS[:2], *WORDS[3:5]), (), {"0.read", "3.read", "4.read"}, narrowed) == (
        "patient/Patient.r",
        "launch/patient",
        "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
        "patient/Observation.rs?category=http://hl7.org/fhir/us/core/CodeSystem/us-core-category|sdoh",
        "patient/Condition.rs?category=http://hl7.org/fhir/us/core/CodeSystem/condition-category|health-concern",
    )


def test_smart_C8_categories_beyond_what_a_token_holds_are_too_many():
    words = tuple(f"{level}/Observation.{letters}" for level in ("patient", "user") for letters in LETTER_SETS)
    ticked = {f"{number}.{kind}" for number in range(len(words)) for kind in ("read", "change", "delete")}
    codes = {"laboratory", "vital-signs", "survey", "social-history", "sdoh", "clinical-test"}
    assert agreed(words, (), ticked, {}) == words
    with pytest.raises(Unticked):
        agreed(words, (), ticked, dict.fromkeys(range(len(words)), codes))


def test_smart_C8_beside_a_wildcard_nothing_can_be_narrowed():
    words = ("patient/*.rs", "patient/Observation.rs", "user/Observation.rs")
    assert [bool(part.categories) for part in parts_of(words, ())] == [False, False, True]


def test_smart_15_what_the_app_needs_cannot_be_unticked():
    required = {"patient/Observation.cruds", "offline_access"}
    assert agreed(WORDS, required, {"3.read", "3.change", "3.delete", "stay"}, {})
    for missing in ("3.read", "3.delete", "stay"):
        with pytest.raises(Unticked):
            agreed(WORDS, required, EVERY - {missing}, {})
    assert "laboratory" in " ".join(agreed(WORDS, required, EVERY, {3: {"laboratory"}}))  # it can be narrowed


@pytest.mark.parametrize(
    ("required", "ticked", "is_enough"),
    [
        ({"patient/Patient.r"}, {"0.read"}, True),
        ({"patient/Patient.r"}, {"1.read"}, True),
        ({"patient/Patient.r"}, {"0.change"}, False),
        ({"patient/Patient.ru"}, {"0.change", "1.read"}, True),
        ({"patient/Patient.ru"}, {"1.read"}, False),
        ({"user/Patient.r", "openid"}, {"1.read"}, True),  # neither was asked for
    ],
)
def test_smart_15_what_the_app_needs_may_lie_within_a_wider_scope(required, ticked, is_enough):
    words = ("patient/*.crus", "patient/Patient.rs")
    if is_enough:
        assert agreed(words, required, ticked, {})
    else:
        with pytest.raises(Unticked):
            agreed(words, required, ticked, {})


@pytest.mark.parametrize(
    ("required", "marked"),
    [({"patient/Patient.r"}, ["0.read", "1.read"]), ({"patient/Goal.c"}, ["0.change"]), ({"openid"}, [])],
)
def test_smart_15_boxes_tell_what_the_app_needs(required, marked):
    parts = parts_of(("patient/*.crus", "patient/Patient.rs"), required)
    assert [part.value for part in parts if part.required] == marked


@given(
    scopes=SCOPES,
    ticked=st.sets(st.builds("{}.{}".format, st.integers(0, 6), st.sampled_from(("read", "change", "delete")))),
    narrowed=st.dictionaries(st.integers(0, 6), st.sets(st.sampled_from(("laboratory", "survey", "x")))),
)
def test_smart_16_no_form_gives_more_than_was_offered(scopes, ticked, narrowed):
    words = offer(" ".join(scopes), "ORG_ADMIN", has_fhir_user=True)
    try:
        granted = agreed(words, (), ticked, narrowed)
    except Unticked:
        return
    assert covers(" ".join(words), granted)


# --- launches ---------------------------------------------------------------------------------------------------------


def test_smart_L1_L7_a_launch_carries_its_context_with_a_boolean_banner_and_a_style():
    asked = launch_request(
        {
            "client_id": "app",
            "user": "u",
            "patient": "p1",
            "encounter": "e1",
            "intent": "reconcile-medications",
            "tenant": "t",
            "need_patient_banner": False,
            "fhirContext": [{"reference": "ImagingStudy/1"}, {"canonical": "http://x|1", "type": "Questionnaire"}],
        },
        STYLE,
    )
    assert (asked.client_id, asked.patient, asked.encounter) == ("app", "p1", "e1")
    assert asked.context == {
        "need_patient_banner": False,
        "smart_style_url": STYLE,
        "intent": "reconcile-medications",
        "tenant": "t",
        "fhirContext": [{"reference": "ImagingStudy/1"}, {"canonical": "http://x|1", "type": "Questionnaire"}],
    }
    assert launch_request({"client_id": "app"}, STYLE).context == {
        "need_patient_banner": True,
        "smart_style_url": STYLE,
    }


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"client_id": 1},
        {"client_id": "app", "patient": "Patient/1"},
        {"client_id": "app", "patient": "a b"},
        {"client_id": "app", "encounter": "e1"},
        {"client_id": "app", "need_patient_banner": "true"},
        {"client_id": "app", "need_patient_banner": 1},
        {"client_id": "app", "smart_style_url": "javascript:x"},
        {"client_id": "app", "more": 1},
        {"client_id": "app", "intent": "x" * 2000},
        {"client_id": "app", "fhirContext": {}},
        {"client_id": "app", "fhirContext": ["ImagingStudy/1"]},
        {"client_id": "app", "fhirContext": [{}]},
        {"client_id": "app", "fhirContext": [{"reference": "https://other/ImagingStudy/1"}]},
        {"client_id": "app", "fhirContext": [{"reference": "ImagingStudy"}]},
        {"client_id": "app", "fhirContext": [{"reference": "ImagingStudy/1", "role": ""}]},
        {"client_id": "app", "fhirContext": [{"reference": "Patient/1"}]},
        {"client_id": "app", "fhirContext": [{"reference": "Encounter/1", "role": "launch"}]},
        {"client_id": "app", "fhirContext": [{"identifier": "x"}]},
        {"client_id": "app", "fhirContext": [{"reference": "List/1"}] * 101},
    ],
)
def test_smart_L1_T13_a_malformed_launch_is_refused(document):
    with pytest.raises(InvalidRequest):
        launch_request(document, STYLE)


def test_smart_T13_a_patient_in_fhir_context_needs_a_role_of_its_own():
    entry = {"reference": "Patient/1", "role": "https://example.org/role/donor"}
    assert launch_request({"client_id": "app", "fhirContext": [entry]}, STYLE).context["fhirContext"] == [entry]


def test_smart_15_an_address_that_any_app_could_claim_is_known():
    assert is_private_use("com.example.app:/cb")
    assert is_private_use("http://127.0.0.1/cb")
    assert not is_private_use(REDIRECT)
