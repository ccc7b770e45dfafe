"""What is referred to is not deleted (fhir_rest X2, settled §3.5)."""

from __future__ import annotations

import pytest

from storage.errors import ReferenceConflict
from tests.regressions.shop import Shop, observed, person


def provenance(target: str) -> dict[str, object]:
    return {
        "resourceType": "Provenance",
        "target": [{"reference": target}],
        "recorded": "2024-01-01T00:00:00Z",
        "agent": [{"who": {"display": "somebody"}}],
    }


async def test_fhir_X2_one_referrer_counts_among_any_number_of_those_without_weight(shop: Shop) -> None:
    await shop.put("Patient/a", person())
    for number in range(130):
        await shop.put(f"Provenance/{number:03}", provenance("Patient/a"))
    await shop.put("ServiceRequest/s", observed("Patient/a", resourceType="ServiceRequest", intent="order"))
    with pytest.raises(ReferenceConflict) as refused:
        await shop.delete("Patient/a")
    assert refused.value.referrers == ("ServiceRequest/s",)
    await shop.delete("Patient/a", "ServiceRequest/s")


async def test_fhir_X2_a_conflict_names_the_referrers_of_what_it_is_about(shop: Shop) -> None:
    for name in ("a", "b"):
        await shop.put(f"Patient/{name}", person())
        await shop.put(f"Observation/of-{name}", observed(f"Patient/{name}"))
    with pytest.raises(ReferenceConflict) as refused:
        await shop.delete("Patient/a", "Patient/b")
    about = refused.value.resource_id
    assert refused.value.referrers == (f"Observation/of-{about}",)
