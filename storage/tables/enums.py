"""The enumerations of the patient graph (data model, 'Complete Enum Definitions'), the hub and the platform tables.

CLOSED ones are state machines and are CHECKed by the database; the others are text that Python validates
(settled §2.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from storage.tables import care_enums


class BiologicalSex(StrEnum):
    """Biological sex, for reference ranges."""

    MALE = "male"
    FEMALE = "female"
    OTHER = "other"


class SubscriptionStatus(StrEnum):
    """Life of a subscription or treatment; the moves are in `storage/repositories/subscription_states.py`."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    ACTIVE = "active"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    COMPLETED = "completed"


class SubscriptionInterval(StrEnum):
    """How often a subscription recurs."""

    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    BIANNUAL = "biannual"
    ANNUAL = "annual"


class ProtocolStatus(StrEnum):
    """Life of a treatment protocol."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class LabStatus(StrEnum):
    """Processing of a laboratory report."""

    PENDING = "pending"
    REVIEWED = "reviewed"
    ARCHIVED = "archived"


class PrescriptionStatus(StrEnum):
    """Fulfilment of a prescription."""

    PENDING = "pending"
    PROCESSING = "processing"
    TRANSMITTED = "transmitted"
    FAILED = "failed"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


class PatientEventType(StrEnum):
    """Entries of the clinical timeline.

    internal_tables.md adds requested, approved, rejected and the two of prescriptions; started to cancelled are ours:
    every transition of a treatment writes an event, and those of protocols would tell of something else.
    """

    LAB_UPLOAD = "lab_upload"
    LAB_PARSED = "lab_parsed"
    PROTOCOL_CREATED = "protocol_created"
    PROTOCOL_STARTED = "protocol_started"
    PROTOCOL_PAUSED = "protocol_paused"
    PROTOCOL_COMPLETED = "protocol_completed"
    PROTOCOL_CANCELLED = "protocol_cancelled"
    PROTOCOL_CHECK_IN = "protocol_check_in"
    NOTE_ADDED = "note_added"
    PROFILE_UPDATED = "profile_updated"
    CONSENT_GRANTED = "consent_granted"
    CONSENT_REVOKED = "consent_revoked"
    TREATMENT_REQUESTED = "treatment_requested"
    TREATMENT_APPROVED = "treatment_approved"
    TREATMENT_REJECTED = "treatment_rejected"
    TREATMENT_STARTED = "treatment_started"
    TREATMENT_PAUSED = "treatment_paused"
    TREATMENT_COMPLETED = "treatment_completed"
    TREATMENT_CANCELLED = "treatment_cancelled"
    PRESCRIPTION_CREATED = "prescription_created"
    PRESCRIPTION_UPDATED = "prescription_updated"


class RbacRole(StrEnum):
    """Roles of the patient graph API."""

    ADMIN = "admin"
    STAFF = "staff"
    SUPPORT = "support"
    PROVIDER = "provider"
    CUSTOMER = "customer"


class RbacAction(StrEnum):
    """What is done to a protected resource."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    EXPORT = "export"


class RbacResource(StrEnum):
    """What the patient graph API protects."""

    PROFILE = "profile"
    LAB_RESULTS = "lab_results"
    PROTOCOLS = "protocols"
    EVENTS = "events"
    AUDIT_LOG = "audit_log"
    CONVERSATION_HISTORY = "conversation_history"
    TREATMENT = "treatment"


class RbacOutcome(StrEnum):
    """How an access was decided."""

    ALLOWED = "allowed"
    DENIED = "denied"


class WearableSource(StrEnum):
    """Devices of the deprecated `wearable_data`."""

    OURA = "oura"
    WHOOP = "whoop"
    GARMIN = "garmin"
    FITBIT = "fitbit"
    APPLE_HEALTH = "apple_health"
    DEXCOM = "dexcom"
    LIBRE = "libre"
    MANUAL = "manual"


class WearableMetricType(StrEnum):
    """Metrics of the deprecated `wearable_data`."""

    SLEEP = "sleep"
    RECOVERY = "recovery"
    HRV = "hrv"
    GLUCOSE = "glucose"
    STRAIN = "strain"
    ACTIVITY = "activity"
    READINESS = "readiness"
    BODY = "body"


class WearableDataType(StrEnum):
    """Metrics of wearable readings and daily statistics."""

    SLEEP_DURATION = "sleep_duration"
    SLEEP_SCORE = "sleep_score"
    REM_SLEEP = "rem_sleep"
    DEEP_SLEEP = "deep_sleep"
    LIGHT_SLEEP = "light_sleep"
    AWAKENINGS = "awakenings"
    HRV = "hrv"
    RESTING_HEART_RATE = "resting_heart_rate"
    RECOVERY_SCORE = "recovery_score"
    GLUCOSE = "glucose"
    GLUCOSE_VARIABILITY = "glucose_variability"
    STEPS = "steps"
    CALORIES = "calories"
    ACTIVE_MINUTES = "active_minutes"
    STRAIN_SCORE = "strain_score"
    WEIGHT = "weight"
    BODY_FAT = "body_fat"
    MUSCLE_MASS = "muscle_mass"


class ReadingStatus(StrEnum):
    """Whether a reading stands (settled §2.3)."""

    FINAL = "final"
    CORRECTED = "corrected"
    ENTERED_IN_ERROR = "entered-in-error"


class IdentifierType(StrEnum):
    """Identifiers of one person in other systems."""

    CLERK_USER_ID = "clerk_user_id"
    EMAIL = "email"
    BIGCOMMERCE_CUSTOMER_ID = "bigcommerce_customer_id"
    STRIPE_CUSTOMER_ID = "stripe_customer_id"
    HUBSPOT_CONTACT_ID = "hubspot_contact_id"
    PHONE = "phone"
    FINGERPRINT_VISITOR_ID = "fingerprint_visitor_id"


class ConversationRole(StrEnum):
    """Who said a line of a conversation."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"


class OrganizationRole(StrEnum):
    """Roles of users in organizations (settled §4.1)."""

    ORG_ADMIN = "ORG_ADMIN"
    CLINICIAN = "CLINICIAN"
    NURSE = "NURSE"
    BILLING = "BILLING"
    STAFF = "STAFF"
    SUPPORT = "SUPPORT"
    AUDITOR = "AUDITOR"
    PATIENT = "PATIENT"


class HomeSystem(StrEnum):
    """Which system's tables take the patients of an organization (settled §1.4)."""

    GRAPH = "graph"
    CARE = "care"


class ClientType(StrEnum):
    """Kinds of OAuth clients."""

    PUBLIC = "public"
    CONFIDENTIAL = "confidential"
    BACKEND = "backend"


class KeyState(StrEnum):
    """Life of a signing key."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRING = "retiring"
    GONE = "gone"


class LinkStatus(StrEnum):
    """State of a link between records of one person in two organizations."""

    CANDIDATE = "candidate"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"


class MatchOutcome(StrEnum):
    """What is said of two records: the same person, perhaps, or not."""

    CERTAIN = "certain"
    POSSIBLE = "possible"
    NOT = "not"


class MatchStatus(StrEnum):
    """Life of a pair in the review queue."""

    OPEN = "open"
    MERGED = "merged"
    REJECTED = "rejected"
    UNMERGED = "unmerged"


class EmrConnectionStatus(StrEnum):
    """Whether a profile's records can be fetched from a provider.

    The document names connected only, its rows error; needs_sign_in is a refused refresh token (health_hub.md C8),
    disconnected what its user ended.
    """

    CONNECTED = "connected"
    NEEDS_SIGN_IN = "needs_sign_in"
    ERROR = "error"
    DISCONNECTED = "disconnected"


class SummaryStatus(StrEnum):
    """State of a profile's precomputed summary."""

    ABSENT = "absent"
    SYNCING = "syncing"
    READY = "ready"
    ERROR = "error"


class SyncStatus(StrEnum):
    """Life of a job that fetches records."""

    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"


CLOSED: Final[tuple[type[StrEnum], ...]] = (
    SubscriptionStatus,
    SubscriptionInterval,
    ProtocolStatus,
    LabStatus,
    PrescriptionStatus,
    *care_enums.CLOSED,
    SummaryStatus,
    SyncStatus,
)


VALIDATED: Final[Mapping[str, Mapping[str, type[StrEnum]]]] = {
    "organizations": {"home_system": HomeSystem},
    "customer_profiles": {"biological_sex": BiologicalSex},
    "lab_results": {"status": LabStatus},
    "protocols": {"status": ProtocolStatus},
    "patient_events": {"type": PatientEventType},
    "conversation_history": {"role": ConversationRole},
    "subscriptions": {"status": SubscriptionStatus, "interval": SubscriptionInterval},
    "patient_prescriptions": {"status": PrescriptionStatus},
    "patient_wearable_readings": {"data_type": WearableDataType, "status": ReadingStatus},
    "patient_wearable_daily_stats": {"data_type": WearableDataType},
    "profile_emr_connections": {"status": EmrConnectionStatus},
    "profile_summary": {"status": SummaryStatus},
    "profile_sync_jobs": {"status": SyncStatus},
    "user_organizations": {"role": OrganizationRole},
    "clients": {"type": ClientType},
    **care_enums.VALIDATED,
}
"""Table → column → the members that repositories let in; identifier types are open ('rimo' has none)."""


def one_of(column: str, members: type[StrEnum]) -> str:
    """Return the SQL condition that a column holds a member of the enumeration."""
    return f"{column} IN ({', '.join(repr(member.value) for member in members)})"
