"""Strategies for rows of the care platform's patients, clinicians, consents and conditions."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mappers.care_rows import CareClinician, Enrollment, Patient, PatientCondition, PatientConsent
from mappers.lookups import PersonLink
from tests.builders_values import CUSTOMERS, ORGANIZATION, days, ids, instants, json_objects, json_values, maybe, texts

CARE_PATIENTS = ("cq2d48m0xrgby7vzssc13xrsj", "pat_7", "9f1c8f0e-4a5b-5d0e-9df1-0a6f3f1f7a10")
CARE_CLINICIANS = ("clwbs42z4rdjtcfvcqpiclnag", "dr_7", "0f1c8f0e-4a5b-5d0e-9df1-0a6f3f1f7a11")

enrollments_of_patients = st.builds(
    Enrollment,
    id=ids,
    organization_id=st.just(ORGANIZATION),
    patient_id=st.just(CARE_PATIENTS[0]),
    clinician_id=st.sampled_from(CARE_CLINICIANS),
    care_program_id=ids,
    start_date=instants,
    status=st.sampled_from(["PENDING", "ACTIVE", "INACTIVE", "COMPLETED", "WITHDRAWN"]),
)


def known_members(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A JSON column with members that somebody agreed upon, and with others; or anything else that JSON can say."""
    usual = st.tuples(json_objects, st.fixed_dictionaries({}, optional=members)).map(
        lambda both: {**both[0], **both[1]}
    )
    return st.one_of(usual, json_values)


patient_conditions = st.builds(
    PatientCondition,
    id=ids,
    organization_id=st.just(ORGANIZATION),
    patient_id=st.sampled_from(CARE_PATIENTS),
    status=st.one_of(st.sampled_from(["ACTIVE", "RESOLVED", "entered-in-error", "INACTIVE", "in remission"]), texts),
    icd10=maybe(st.one_of(st.sampled_from(["I10", "E11", "N18.3", "z96.651", "hypertension"]), texts)),
    snomed=maybe(st.one_of(st.sampled_from(["38341003", "38341003 |Hypertension|"]), texts)),
    label=maybe(texts),
    onset_date=maybe(days),
)

care_patients = st.builds(
    Patient,
    id=ids,
    organization_id=st.just(ORGANIZATION),
    first_name=texts,
    last_name=texts,
    date_of_birth=instants,
    medical_record_number=maybe(st.one_of(st.sampled_from(["MRN-000123", "000125"]), texts)),
    gender=maybe(st.sampled_from(["MALE", "FEMALE", "OTHER", "UNKNOWN"])),
    email=maybe(texts),
    phone=maybe(texts),
    address=maybe(st.one_of(st.sampled_from(["88 NE Hancock St, Portland, OR 97212", "unknown"]), texts)),
    emergency_contact=known_members(
        name=st.one_of(texts, json_values), relationship=texts, phone=maybe(texts), email=texts
    ),
    insurance_info=known_members(
        type=st.one_of(st.sampled_from(["Medicare Part B", "Self pay"]), json_values),
        payer=maybe(texts),
        memberId=texts,
    ),
    timezone=maybe(st.one_of(st.sampled_from(["America/Los_Angeles", "Asia/Tokyo"]), texts)),
    is_active=st.booleans(),
    created_at=maybe(instants),
    updated_at=maybe(instants),
    enrollments=st.lists(enrollments_of_patients, max_size=3, unique_by=lambda row: row.id).map(tuple),
    patient_conditions=st.lists(patient_conditions, max_size=1).map(tuple),
)

care_clinicians = st.builds(
    CareClinician,
    id=ids,
    organization_id=st.just(ORGANIZATION),
    first_name=texts,
    last_name=texts,
    email=texts,
    phone=maybe(texts),
    specialization=maybe(texts),
    license_number=maybe(texts),
    npi_number=maybe(st.one_of(st.sampled_from(["1234567893", "12345678930"]), texts)),
    credentials=maybe(st.one_of(st.sampled_from(["MD", "RN, PhD", "D.O."]), texts)),
    department=maybe(texts),
    is_active=st.booleans(),
)

patient_consents = st.builds(
    PatientConsent,
    id=ids,
    organization_id=st.just(ORGANIZATION),
    patient_id=st.sampled_from(CARE_PATIENTS),
    consent_type=st.one_of(st.sampled_from(["TREATMENT", "BILLING", "DATA_SHARING", "data sharing"]), texts),
    granted_at=maybe(instants),
    revoked_at=maybe(instants),
    recorded_by=maybe(texts),
)

PATIENT_ROWS: dict[str, st.SearchStrategy[Any]] = {
    "patient": care_patients,
    "patient_insurance": care_patients,
    "clinician": care_clinicians,
    "patient_condition": patient_conditions,
    "patient_consent": patient_consents,
}


class AnyClinician(dict[tuple[str, str, str], Any]):
    """Rows that `Lookups.row` finds: of the clinicians only the first one is known."""

    def get(self, key: tuple[str, str, str], default: Any = None) -> Any:
        if key == ("clinicians", ORGANIZATION, CARE_CLINICIANS[0]):
            return CareClinician(
                CARE_CLINICIANS[0], ORGANIZATION, "Terrence", "Chan", "tchan@riverbend.example.com", credentials="MD"
            )
        return dict.get(self, key, default)


class SomeLinks(dict[tuple[str, str], tuple[PersonLink, ...]]):
    """Patients whose key has an even number of characters are customers, too, and were merged with others."""

    def get(self, key: tuple[str, str], default: Any = None) -> Any:
        same_person = (
            PersonLink("seealso", "customer_profiles", CUSTOMERS[0]),
            PersonLink("seealso", "customer_profiles", CUSTOMERS[1]),
            PersonLink("replaces", "patients", "merged"),
            PersonLink("replaced-by", "patients", "survivor"),
        )
        return same_person if key[0] == "patients" and len(key[1]) % 2 == 0 else default
