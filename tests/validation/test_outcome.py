"""How errors look (fhir_rest §11, H10; FHIR R4 http.html#Status-Codes, operationoutcome.html)."""

from __future__ import annotations

import inspect

import fhirkit
import pytest

from fhir_server import errors
from fhir_server.errors import Issue, invalid_resource
from fhir_server.fhir.json_body import parse_json
from fhir_server.outcome import RENDERINGS, TEXTS, outcome_for, rendering
from storage import errors as storage

REQUEST = "0f3c"

EXAMPLES = [
    (errors.Unauthenticated(None, "Send an access token."), 401, "login"),
    (errors.Unauthenticated("invalid_token", "It has expired.", expired=True), 401, "expired"),
    (errors.NotAuthorised("Not this.", scope="patient/Observation.r"), 403, "forbidden"),
    (errors.MalformedAuthorization("Send one."), 400, "invalid"),
    (errors.UnknownAddress(), 404, "not-found"),
    (errors.UnknownResourceType("Foo"), 404, "not-supported"),
    (errors.NoCompartment("Patient", ["Observation"]), 404, "not-supported"),
    (errors.OperationNotSupported(), 404, "not-supported"),
    (errors.InteractionNotSupported(["GET", "HEAD"]), 405, "not-supported"),
    (errors.UnsupportedMediaType("Send JSON."), 415, "not-supported"),
    (errors.NotAcceptable("Take JSON."), 406, "not-supported"),
    (errors.InvalidHeader("If-Match", "Name one version."), 400, "invalid"),
    (errors.InvalidParameter("birthdate", "Give a date."), 400, "invalid"),
    (errors.ParameterNotKnown("colour", "Not here."), 400, "not-supported"),
    (errors.ParameterTooCostly("gender", "Too many alternatives."), 400, "too-costly"),
    (errors.UnsupportedParameter("code:in", "Not here."), 400, "not-supported"),
    (errors.InvalidId("Patient.id"), 400, "value"),
    (errors.TypeMismatch("Patient", "Observation"), 400, "invalid"),
    (errors.IdMismatch("Patient.id"), 400, "invalid"),
    (errors.MalformedBody("No JSON."), 400, "structure"),
    (errors.NumberOutOfRange("Too long."), 400, "value"),
    (errors.HeadersTooLarge(10), 431, "too-long"),
    (errors.BodyTooLarge(10), 413, "too-long"),
    (errors.BodyTooSlow(), 408, "timeout"),
    (errors.BodyTooComplex("levels", 64), 413, "too-costly"),
    (errors.InvalidResource([Issue("required", "Add it.", "Patient.link")]), 400, "required"),
    (errors.RuleBroken([Issue("code-invalid", "Not in it.", "Patient.gender")]), 422, "code-invalid"),
    (errors.InvalidBundle("No batch.", "Bundle.type"), 400, "invalid"),
    (errors.DuplicateEntry("Twice.", "Bundle.entry[1]"), 400, "duplicate"),
    (errors.UnresolvedEntry("Observation.subject"), 400, "not-found"),
    (errors.ConditionalReferenceFailed("Observation.subject"), 412, "multiple-matches"),
    (errors.PreconditionFailed("It exists."), 412, "conflict"),
    (errors.PreconditionRequired("Name the version that you know."), 428, "business-rule"),
    (errors.MultipleMatches(), 412, "multiple-matches"),
    (errors.UnsupportedPatch(), 415, "not-supported"),
    (errors.NoMatch(), 404, "not-found"),
    (errors.PatchFailed("There is nothing at its path.", 2), 422, "processing"),
    (errors.ElementFixed("It cannot be changed.", "Patient.id"), 422, "business-rule"),
    (errors.Throttled(30), 429, "throttled"),
    (errors.Overloaded(1), 503, "transient"),
    (errors.EntryFailed(3, errors.MultipleMatches()), 412, "multiple-matches"),
    (storage.ResourceNotFound("Patient", "1"), 404, "not-found"),
    (storage.ResourceGone("Patient", "1", 3, 1_600_000_000_000), 410, "deleted"),
    (storage.VersionConflict("Patient", "1"), 412, "conflict"),
    (storage.ResourceExists("Patient", "1"), 409, "duplicate"),
    (storage.ReferenceConflict("Patient", "1", ["Observation/2"]), 409, "conflict"),
    (storage.UnresolvedReference("Patient/9", "Observation.subject"), 422, "not-found"),
    (storage.ReadOnlyHome("Patient", "1", "/hub/profiles"), 422, "business-rule"),
    (storage.MappingRefused("Patient", "1", "There is no column."), 422, "business-rule"),
    (storage.WriteOutsideAccess("Observation"), 403, "forbidden"),
    (storage.IdentityOutsideAccess("Patient", "Patient.identifier", "urn:x"), 403, "forbidden"),
    (storage.InteractionForbidden("Observation", "read"), 403, "forbidden"),
    (storage.CursorInvalid(), 400, "invalid"),
    (storage.CursorExpired(), 410, "processing"),
    (storage.SearchTooCostly("Too many values."), 400, "too-costly"),
    (storage.ValueSetUnknown("Store it."), 400, "not-found"),
    (storage.HierarchyUnknown(), 400, "not-supported"),
    (storage.ConcurrencyConflict(), 503, "transient"),
    (storage.AuditUnavailable(), 503, "transient"),
    (storage.SchemaOutOfDate(), 503, "transient"),
    (storage.MapperStopped("MedicationRequest", "patient_medications"), 503, "transient"),
    (storage.DatabaseUnavailable(5), 503, "transient"),
    (RuntimeError("Wilhelmina Tell"), 500, "exception"),
]


def error_classes(module):
    """Return the classes of errors that a module defines, without the root of its tree."""
    found = [each for _, each in inspect.getmembers(module, inspect.isclass) if each.__module__ == module.__name__]
    return [each for each in found if issubclass(each, Exception) and each.__base__ is not Exception]


def issues_of(error):
    """Return the issues of the answer to an error."""
    return parse_json(outcome_for(error, REQUEST)[2])["issue"]


@pytest.mark.parametrize("error_class", [*error_classes(errors), *error_classes(storage)])
def test_every_error_class_has_its_row(error_class):
    assert error_class in RENDERINGS
    assert any(isinstance(example, error_class) for example, _, _ in EXAMPLES)


@pytest.mark.parametrize(("error", "status", "code"), EXAMPLES, ids=lambda each: type(each).__name__)
def test_fhir_11_an_error_is_answered_with_its_status_and_a_valid_outcome(error, status, code):
    found, headers, body = outcome_for(error, REQUEST)
    outcome = parse_json(body)
    assert (found, outcome["resourceType"], outcome["issue"][0]["code"]) == (status, "OperationOutcome", code)
    assert headers["Content-Type"].startswith("application/fhir+json")
    assert fhirkit.validate(body) == []
    assert all(issue["details"]["text"] and issue["diagnostics"] and issue["severity"] for issue in outcome["issue"])


def test_every_issue_type_has_a_text():
    assert {row.code for row in RENDERINGS.values()} <= set(TEXTS)


def test_a_subclass_without_a_row_has_that_of_its_base():
    class Special(storage.VersionConflict):
        pass

    assert rendering(Special("Patient", "1")) == RENDERINGS[storage.VersionConflict]


def test_fhir_H10_security_PH2_a_failure_of_the_server_tells_the_request_id_and_nothing_else():
    _, _, body = outcome_for(RuntimeError("Wilhelmina Tell, born 1960"), REQUEST)
    assert REQUEST.encode() in body
    assert b"Wilhelmina" not in body
    assert b"RuntimeError" not in body


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (errors.Unauthenticated(None, "x"), "WWW-Authenticate", 'Bearer realm="fhir"'),
        (
            errors.Unauthenticated("invalid_token", "x"),
            "WWW-Authenticate",
            'Bearer realm="fhir", error="invalid_token", error_description="x"',
        ),
        (
            errors.NotAuthorised("x", scope="a.r"),
            "WWW-Authenticate",
            'Bearer realm="fhir", error="insufficient_scope", scope="a.r"',
        ),
        (errors.InteractionNotSupported(["GET", "HEAD"]), "Allow", "GET, HEAD"),
        (errors.Throttled(30), "Retry-After", "30"),
        (storage.DatabaseUnavailable(5), "Retry-After", "5"),
        (storage.ConcurrencyConflict(), "Retry-After", "2"),
        (errors.EntryFailed(0, storage.DatabaseUnavailable(5)), "Retry-After", "5"),
        (storage.ResourceGone("Patient", "1", 3, 1_600_000_000_000), "ETag", 'W/"3"'),
        (storage.ResourceGone("Patient", "1", 3, 1_600_000_000_000), "Last-Modified", "Sun, 13 Sep 2020 12:26:40 GMT"),
    ],
)
def test_fhir_11_an_answer_has_the_header_that_helps(error, header, value):
    assert outcome_for(error, REQUEST)[1][header] == value


def test_fhir_C3_all_faults_of_a_resource_are_in_one_answer_with_their_expressions():
    found = issues_of(
        invalid_resource([Issue("required", "Add it.", "Patient.link"), Issue("structure", "No.", "Patient.foo")])
    )
    assert [(issue["code"], issue["expression"]) for issue in found] == [
        ("required", ["Patient.link"]),
        ("structure", ["Patient.foo"]),
    ]


def test_an_answer_lists_a_bounded_number_of_faults():
    found = issues_of(invalid_resource([Issue("structure", "No.", "Patient.foo")] * 2000))
    assert len(found) == 501
    assert found[-1]["severity"] == "information"


def test_a_parameter_or_header_at_fault_is_named():
    (issue,) = issues_of(errors.InvalidParameter("birthdate", "Give a date such as 2020-01-31."))
    assert issue["location"] == ["http.birthdate"]
    assert issue["diagnostics"].startswith("birthdate: ")
    (issue,) = issues_of(errors.InvalidHeader("If-Match", "Name one version."))
    assert issue["location"] == ["http.If-Match"]


def test_a_parameter_whose_name_can_be_none_is_not_repeated():
    (issue,) = issues_of(errors.InvalidParameter("Wilhelmina Tell", "There is no such parameter."))
    assert "location" not in issue
    assert "Wilhelmina" not in issue["diagnostics"]


def test_fhir_B3_faults_in_an_entry_of_a_transaction_have_their_place_in_the_bundle():
    cause = errors.RuleBroken(
        [Issue("code-invalid", "x", "Observation.status"), Issue("invariant", "y", "Observation")]
    )
    assert [issue["expression"] for issue in issues_of(errors.EntryFailed(3, cause))] == [
        ["Bundle.entry[3].resource.status"],
        ["Bundle.entry[3].resource"],
    ]
    (issue,) = issues_of(errors.EntryFailed(3, storage.VersionConflict("Patient", "1")))
    assert issue["expression"] == ["Bundle.entry[3]"]
    (issue,) = issues_of(errors.EntryFailed(3, errors.InvalidBundle("x", "Bundle.entry[3].request")))
    assert issue["expression"] == ["Bundle.entry[3].request"]


def test_settled_4_3_absent_and_invisible_are_the_same_bytes():
    one = outcome_for(storage.ResourceNotFound("Patient", "1"), "a")
    assert one == outcome_for(storage.ResourceNotFound("Patient", "1"), "b")
