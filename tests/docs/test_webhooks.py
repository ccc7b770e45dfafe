"""docs/webhooks.md says what the server takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from fhir_server.graph.models.webhooks import EXAMPLE, OrderEventSent
from storage.orders.event import STATES

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text("utf-8")
BLOCKS = [json.loads(each) for each in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


def test_the_page_holds_the_schema_and_an_event_that_fits() -> None:
    example, schema = BLOCKS
    assert example == EXAMPLE
    assert OrderEventSent.model_validate(example).type == "order.shipped"
    assert schema == OrderEventSent.model_json_schema()


def test_the_page_names_every_type_with_the_state_that_it_brings() -> None:
    rows = dict(re.findall(r"^\| `(order\.\w+)` \| (.+?) \|$", PAGE, re.MULTILINE))
    assert rows == {name: f"`{state}`" if state is not None else "as before" for name, state in STATES.items()}
