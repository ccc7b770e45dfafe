"""Audit records and accountings as JSON: for the patient graph API and for commands alike."""

from __future__ import annotations

from typing import Any

from mappers.audit_event import RecordedAccess, instant
from storage.audit_search import record_id
from storage.disclosures import Accounting, Recipient

Json = dict[str, Any]


def shown_record(record: RecordedAccess) -> Json:
    """Return one access (API document, 'Audit Logging'; what comes after `timestamp` is ours)."""
    return {
        "id": record_id(record),
        "actorId": record.actor_id,
        "actorRole": record.actor_role,
        "customerId": record.customer_id,
        "resource": record.resource,
        "action": record.action,
        "outcome": record.outcome,
        "ipAddress": record.ip_address,
        "userAgent": record.user_agent,
        "timestamp": instant(record.at),
        "clientId": record.client_id,
        "customerIds": list(record.patients),
        "resourceIds": list(record.resource_ids),
        "interaction": record.interaction,
        "status": record.status,
        "count": record.count,
        "requestId": record.request_id,
        "method": record.method,
        "path": record.path,
        "purpose": record.purpose,
    }


def shown_accounting(customer_id: str, accounting: Accounting) -> Json:
    """Return an accounting of disclosures, without its single records; its period includes both ends."""
    return {
        "customerId": customer_id,
        "records": list(accounting.records),
        "fromDate": instant(accounting.since),
        "toDate": instant(accounting.until - 1),
        "count": accounting.count,
        "recipients": [_recipient(each) for each in accounting.recipients],
    }


def _recipient(recipient: Recipient) -> Json:
    return {
        "actorId": recipient.actor_id,
        "actorRole": recipient.actor_role,
        "clientId": recipient.client_id,
        "purpose": recipient.purpose,
        "firstAt": instant(recipient.first),
        "lastAt": instant(recipient.last),
        "count": recipient.count,
        "resources": [
            {"resource": each.resource, "action": each.action, "count": each.count} for each in recipient.uses
        ],
    }
