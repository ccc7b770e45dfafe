"""What the documents say of access is what the code does."""

from __future__ import annotations

from pathlib import Path

from capability.roles import assignable_roles, roles, roles_markdown
from storage.tables.enums import OrganizationRole, RbacResource, RbacRole

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_roles_is_the_one_that_is_generated():
    assert (DOCS / "roles.md").read_text("utf-8") == roles_markdown()


def test_settled_4_1_users_hold_the_roles_of_the_stored_vocabulary():
    assert set(assignable_roles()) == {role.value for role in OrganizationRole}


def test_settled_4_1_every_role_has_its_name_on_graph():
    names = {name: role.graph_role for name, role in roles().items() if role.graph_role}
    assert names == {
        "ORG_ADMIN": "admin", "CLINICIAN": "provider", "NURSE": "provider", "STAFF": "staff", "BILLING": "staff",
        "SUPPORT": "support", "PATIENT": "customer", "SERVICE": "staff",
    }  # fmt: skip
    assert set(names.values()) == {role.value for role in RbacRole}


def test_resources_of_graph_are_those_of_the_document():
    assert {name for role in roles().values() for name in role.graph} == {each.value for each in RbacResource}
