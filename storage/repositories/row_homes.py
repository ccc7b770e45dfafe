"""Which organization a row of a document belongs to.

Rows of the patient graph go where the load goes, those of the health hub to the hub's organization. Rows of the care
platform say theirs, or are of the organization of what they refer to; catalogue rows of no organization are shared by
all (settled §2.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Table

from storage.repositories.errors import NoRow
from storage.repositories.graph_json import key_in
from storage.tables import care_platform, health_hub, platform
from storage.tables.columns import SHARED
from storage.tables.types import HUB_ORGANIZATION

WHOSE: Final = "organizationId"
_JOINT: Final = re.compile(r"_([a-z])")


class RowHomes:
    """Tells the organizations of a document's rows, referred-to tables first.

    `organization_id` is where the load goes. A load that is `confined` writes there alone, and shared rows.
    """

    def __init__(self, organization_id: str, *, confined: bool) -> None:
        self._organization_id = organization_id
        self._confined = confined
        self._known: dict[tuple[str, str], str] = {}

    def home_of(self, table: Table, item: Any) -> str:
        """Return the organization of a row; raises NoRow when it has no key, or the load may not write there."""
        key = key_in(table, item)
        home = self._home_of(table, item)
        if self._confined and home not in (self._organization_id, SHARED):
            raise NoRow(f"the row is not of {self._organization_id}: load what is of another organization there")
        self._known[table.name, key] = home
        return home

    def _home_of(self, table: Table, item: Mapping[str, Any]) -> str:
        if table is platform.organizations:
            if key_in(table, item) == SHARED:
                raise NoRow(f"{table.name}.id: {SHARED} stands for the rows that all organizations share")
            return str(item["id"])
        if table in health_hub.TENANT_TABLES:
            return self._organization_id if self._confined else HUB_ORGANIZATION
        if table is not platform.user_organizations and table not in care_platform.TENANT_TABLES:
            return self._organization_id
        if WHOSE in item:
            return self._said(table, item[WHOSE])
        named = set(self._organizations_named(table, item))
        if named - {SHARED}:
            return min(named - {SHARED})  # of another one, the foreign keys refuse the row
        return SHARED if named or table in SHARED_UNSAID else self._organization_id

    def _said(self, table: Table, organization: Any) -> str:
        if organization is None and table in care_platform.CATALOGUE_TABLES:
            return SHARED
        if not isinstance(organization, str) or organization in ("", SHARED):
            raise NoRow(f"{table.name}.organization_id: {WHOSE} has to be the id of an organization")
        return organization

    def _organizations_named(self, table: Table, item: Mapping[str, Any]) -> Iterator[str]:
        """Yield the organizations of the rows of the document that a row refers to."""
        for constraint in table.foreign_key_constraints:
            key = item.get(_field(constraint.column_keys[-1]))
            known = self._known.get((constraint.referred_table.name, key)) if isinstance(key, str) else None
            if known is not None and (known != SHARED or table in care_platform.CATALOGUE_TABLES):
                yield known


SHARED_UNSAID: Final = (care_platform.billing_programs, care_platform.cpt_codes)
"""Tables of which the document knows no organization at all."""


def _field(column: str) -> str:
    return _JOINT.sub(lambda match: match[1].upper(), column)
