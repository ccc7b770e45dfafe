"""Whether a grant still stands: everything that it rested on when it was given (`smart.md` F8, V3, security OA-8)."""

from __future__ import annotations

from collections.abc import Mapping

from fhir_server.oauth.lifetimes import access_seconds
from fhir_server.settings import Settings
from storage.authorization.standing import Standing
from storage.repositories.entities import Client
from storage.tables.enums import OrganizationRole


def fallen(standing: Standing, client: Client, settings: Settings, now: int) -> str | None:
    """Return what keeps a grant's client from getting tokens for it, in a word for the log; None: it stands.

    A role that changed is a role that was lost: what was granted in one role is not exercised in another.
    """
    grant = standing.grant
    emergency = grant.break_glass_id is not None
    ends: Mapping[str, bool] = {
        "revoked": grant.revoked_at is not None,
        "organization": not standing.organization_is_active,
        "user": grant.user_id is not None and not standing.user_is_active,
        "emergency": emergency and not _emergency_lasts(standing, now),
        "role": grant.user_id is not None and not emergency and standing.role != grant.role,
        "patient": grant.role == OrganizationRole.PATIENT and not _is_for_own_patient(standing),
        "session": grant.session_id is not None and not _session_lasts(standing, client, settings, now),
    }
    return next((word for word, has_come in ends.items() if has_come), None)


def _is_for_own_patient(standing: Standing) -> bool:
    return standing.grant.patient is None or standing.acts_for_patient


def _emergency_lasts(standing: Standing, now: int) -> bool:
    return standing.emergency_ended_at is None and (standing.emergency_until or 0) > now


def _session_lasts(standing: Standing, client: Client, settings: Settings, now: int) -> bool:
    """Return whether the person is still there: in a session that has not ended, here or in the app.

    An app in use asks for a token about when the last one expires; that counts as a sign of life, as a click here does.
    """
    if standing.session_ended_at is not None or (standing.session_until or 0) <= now:
        return False
    in_app = standing.grant.last_used_at + access_seconds(client, settings)
    return max(standing.session_seen_at or 0, in_app) + settings.session_idle_seconds > now
