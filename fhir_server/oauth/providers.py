"""Which OpenID Connect issuers are trusted: read once from the file that `FHIR_SERVER_IDENTITY_PROVIDERS` names.

The file is a JSON list. Each issuer is described by what is written here; whatever is not known is refused, so that a
misspelt word does not silently change who gets in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError, model_validator

from fhir_server.settings import SettingsInvalid
from storage.tables.enums import OrganizationRole

NAME: Final = r"[a-z0-9][a-z0-9-]{0,31}"
SETTING: Final = "FHIR_SERVER_IDENTITY_PROVIDERS"

Text = Annotated[str, Field(min_length=1, max_length=2000)]


class Claims(BaseModel):
    """Where an issuer's tokens say what: names of claims, a dot leading into an object."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: Text = "sub"
    email: Text = "email"
    email_verified: Text = "email_verified"
    name: Text = "name"
    role: Text = "role"
    organization: Text | None = None


class IdentityProvider(BaseModel):
    """One issuer.

    `audience` is what its access and session tokens have to be made for; without it they open nothing. `client_id` is
    ours there; without it nobody signs in through it. `roles` maps its words for roles to ours, `default_role` is for
    those of whom it says nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=rf"^{NAME}$")]
    title: Annotated[str, Field(min_length=1, max_length=80)]
    issuer: Text
    jwks_uri: Text | None = None
    audience: Text | None = None
    client_id: Text | None = None
    client_secret: SecretStr | None = None
    scope: Text = "openid email profile"
    parameters: Mapping[str, str] = Field(default_factory=dict)
    """What is sent to its authorization endpoint besides (`aud`, `hd`, …)."""
    organization: Text | None = None
    roles: Mapping[str, OrganizationRole] = Field(default_factory=dict)
    default_role: OrganizationRole | None = None
    claims: Claims = Field(default_factory=Claims)
    link_by_email: bool = False
    """Whether a person who is known here by the same verified e-mail address is the same person."""
    create: bool = False
    """Whether the issuer says who comes in: unknown people become users, and roles follow it at each sign-in."""

    @model_validator(mode="after")
    def _makes_sense(self) -> IdentityProvider:
        if self.audience is None and self.client_id is None:
            raise ValueError("needs an audience (for its tokens) or a client_id (for signing in)")
        if self.audience is not None and self.audience == self.client_id:
            raise ValueError("audience must not be the client_id: its identity tokens would open the internal APIs")
        if self.organization is None and (self.create or self.claims.organization is None):
            raise ValueError("needs an organization, or a claim that names it where it creates nobody")
        return self

    def said(self, claims: Mapping[str, Any], claim: str) -> Any:
        """Return what the claims say under a name of `self.claims`; None where they say nothing."""
        path = getattr(self.claims, claim)
        if path is None:
            return None
        if path in claims:  # names may hold dots: https://example.org/role
            return claims[path]
        found: Any = claims
        for step in path.split("."):
            found = found.get(step) if isinstance(found, Mapping) else None
        return found

    def role_in(self, claims: Mapping[str, Any]) -> OrganizationRole | None:
        """Return the role that the claims give; None where they give none that is mapped.

        A word that is not mapped gives no role, not the default one: nobody gains by a word that we do not know.
        """
        said = self.said(claims, "role")
        if said is None:
            return self.default_role
        return self.roles.get(said) if isinstance(said, str) else None

    def organization_in(self, claims: Mapping[str, Any]) -> str | None:
        """Return the organization that the claims name, else that of the file."""
        said = self.said(claims, "organization")
        return said if isinstance(said, str) and said else self.organization if said is None else None


def load_providers(path: Path | None) -> Mapping[str, IdentityProvider]:
    """Return the trusted issuers by name; raises SettingsInvalid, which names what is at fault and no value of it."""
    if path is None:
        return {}
    try:
        document = json.loads(path.read_text("utf-8"))
        found = TypeAdapter(list[IdentityProvider]).validate_python(document)
    except OSError as error:
        raise SettingsInvalid(f"{SETTING}: the file cannot be read ({error.strerror}).") from None
    except ValidationError as error:
        raise SettingsInvalid(f"{SETTING}: {_faults(error)}.") from None
    except ValueError:
        raise SettingsInvalid(f"{SETTING}: the file is no JSON.") from None
    for what, values in (("name", [each.name for each in found]), ("issuer", [each.issuer for each in found])):
        if len(set(values)) < len(values):
            raise SettingsInvalid(f"{SETTING}: two providers have the same {what}.")
    return {each.name: each for each in found}


def _faults(error: ValidationError) -> str:
    return "; ".join(f"{_place(fault['loc'])} {fault['msg'].removeprefix('Value error, ')}" for fault in error.errors())


def _place(location: Sequence[int | str]) -> str:
    return ".".join(map(str, location)) or "the file"
