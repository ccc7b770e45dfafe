"""A row in every table of the health hub, for tests that look at all tables."""

from __future__ import annotations

from typing import Final

PROFILE: Final = "organization_id, profile_id"
OWN: Final = "'{0}', 'profile-{0}'"

HUB_ROWS: Final = (
    "INSERT INTO users (id, email) VALUES ('hub-{0}', 'hub-{0}@x')",
    (
        "INSERT INTO profiles (organization_id, id, user_id, display_name)"
        " VALUES ('{0}', 'profile-{0}', 'hub-{0}', 'Me')"
    ),
    (
        f"INSERT INTO oauth_states ({PROFILE}, user_id, state, provider, expires_at)"
        f" VALUES ({OWN}, 'hub-{{0}}', 's', 'epic', '2026-01-01T00:00:00.000000Z')"
    ),
    (
        f"INSERT INTO profile_emr_connections ({PROFILE}, provider, patient_emr_id, access_token_encrypted)"
        f" VALUES ({OWN}, 'epic', 'e', 't')"
    ),
    (
        f"INSERT INTO profile_fhir_resources_raw ({PROFILE}, provider, resource_type, resource_id, resource_json)"
        f" VALUES ({OWN}, 'epic', 'Observation', 'o', '{{{{}}}}')"
    ),
    (
        f"INSERT INTO profile_fhir_resources_normalized ({PROFILE}, provider, resource_type, normalized_json)"
        f" VALUES ({OWN}, 'epic', 'Observation', '{{{{}}}}')"
    ),
    (
        f"INSERT INTO profile_fhir_resources_clean ({PROFILE}, resource_type, clean_json, sources)"
        f" VALUES ({OWN}, 'Observation', '{{{{}}}}', '[]')"
    ),
    f"INSERT INTO profile_summary ({PROFILE}) VALUES ({OWN})",
    f"INSERT INTO profile_sync_jobs ({PROFILE}, provider, status) VALUES ({OWN}, 'epic', 'running')",
)
"""With the organization to be filled in; users are outside tenancy, so theirs have a name of their own."""
