"""Who a patient is to this installation: what a caller bound to that patient may not say (security AZ-7, AZ-8).

The login id and the identity mappings decide whom a sign-in, a device or another system stands for. A patient who could
write them would become someone else, and would learn which values exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mappers import systems
from storage.codec import encode
from storage.errors import IdentityOutsideAccess
from storage.resources import Stored

PATIENT: Final = "Patient"


def require_same_identity(resource: Mapping[str, Any], stored: Stored | None) -> None:
    """Raise IdentityOutsideAccess when a Patient's identifiers of this installation are not those that are stored.

    Order does not count; whether a value is in use makes no difference.
    """
    if resource["resourceType"] != PATIENT:
        return
    before = {} if stored is None or stored.deleted else stored.resource()
    if _own_identifiers(resource) != _own_identifiers(before):
        raise IdentityOutsideAccess(PATIENT, f"{PATIENT}.identifier", f"{systems.CUSTOMER}*")


def _own_identifiers(resource: Mapping[str, Any]) -> list[bytes]:
    identifiers = resource.get("identifier", ())
    return sorted(encode(each) for each in identifiers if each.get("system", "").startswith(systems.CUSTOMER))
