"""Device ⇄ the distinct devices of `patient_wearable_readings` (mapping.md "Outside the four").

No table holds devices: a derived row stands for each combination of customer, source, device type and device id that
occurs in readings. Its key is those four columns written out, so that a reading knows its device without a look-up.
"""

from __future__ import annotations

from typing import Any, Final

from mappers import isos, systems
from mappers.fields import Context, constant, derived, field, reference
from mappers.isos import Iso
from mappers.json_values import ABSENT, decode, encode
from mappers.lens import ResourceMapper
from mappers.nodes import Node, Slot
from mappers.rows import WearableDevice

DEVICE_TABLE: Final = "wearable_devices"
_COLUMNS: Final = ("customer_id", "source", "device_type", "device_id")


def device_key(customer_id: str, source: str, device_type: str | None, device_id: str | None) -> str:
    """Return the key of the derived row of a reading's device: its four columns as a JSON array."""
    return encode([customer_id, source, device_type, device_id]).decode()


def device_columns(key: str) -> dict[str, Any]:
    """Return the columns of the readings of a device; the inverse of `device_key`.

    Raises ValueError for a text that is no such key.
    """
    values = decode(key)
    if not isinstance(values, list) or len(values) != len(_COLUMNS):
        raise ValueError("is not the key of a wearable device")
    return dict(zip(_COLUMNS, values, strict=True))


def _names(values: tuple[Any, ...], _: Context) -> Node:
    words = isos.fhir_text(values[0]) if values[0] is not None else ABSENT
    return [{"name": words, "type": "user-friendly-name"}] if words is not ABSENT else ABSENT


def _serial(values: tuple[Any, ...], _: Context) -> Node:
    words = isos.fhir_text(values[0]) if values[0] is not None else ABSENT
    return {"system": systems.WEARABLE_DEVICE, "value": words} if words is not ABSENT else ABSENT


def _is_named(row: WearableDevice) -> bool:
    """Whether readings name a device at all; those that only have a source refer to none."""
    return row.device_type is not None or row.device_id is not None


WEARABLE: Final = ResourceMapper(
    "Device",
    table=DEVICE_TABLE,
    name="wearable_device",
    row_type=WearableDevice,
    applies=_is_named,
    read_only=True,
    internal_endpoint="/graph/wearables/readings",
    about="One Device for each customer, source, device type and device id in readings that name type or id.",
    slots={"identifier": (Slot("device"),)},
    fields=(
        field(
            "source", "meta.source", Iso(systems.source_uri, systems.source_name), note="where the readings come from"
        ),
        derived(("device_id",), "identifier[device]", _serial),
        constant("status", "active"),
        derived(("device_type",), "deviceName", _names),
        field("device_type", "type.text"),
        reference("customer_id", "patient", "Patient", "customer_profiles"),
    ),
)
