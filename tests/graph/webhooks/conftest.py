"""Orders and treatments that nobody knows yet."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import httpx
import pytest

from tests.graph.kit import JANE, Person

_numbers = count(1)


@pytest.fixture
def numbers() -> tuple[str, str]:
    """An order and a treatment that nobody knows yet."""
    number = next(_numbers)
    return f"order_{number}", f"rimo_{number}"


@pytest.fixture
def treat(staff: httpx.Client) -> Callable[..., str]:
    """Makes treatments; gives their id."""

    def make(rimo: str, *, person: Person = JANE, status: str = "approved") -> str:
        sent = {"customerId": person.customer, "rimoTreatmentId": rimo, "offeringName": "GLP-1"}
        made = staff.post("/treatments", json=sent)
        assert made.status_code == 201, made.text
        key = str(made.json()["data"]["id"])
        if status != "pending":
            moved = staff.patch(f"/treatments/{key}", json={"status": status})
            assert moved.status_code == 200, moved.text
        return key

    return make
