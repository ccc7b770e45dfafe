"""What an app may say of itself when it registers (RFC 7591 §2), made a client record by the rules of every client.

Members that nobody understands here are left alone, as the RFC wants. Nothing that is named is fetched: neither a logo
nor a page. Whatever is said is unverified, and people are told so when they are asked for their consent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from authlib.oauth2.rfc7591 import ClientMetadataClaims
from joserfc.errors import InvalidClaimError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from fhir_server.oauth.clients import ClientRefused, Registration, register
from fhir_server.oauth.errors import InvalidClientMetadata, InvalidRedirectUri, InvalidSoftwareStatement
from storage.repositories.entities import Client
from storage.tables.enums import ClientType

DEFAULT_SCOPE: Final = "launch launch/patient openid fhirUser patient/*.rs"
NONE: Final = "none"
BASIC: Final = "client_secret_basic"
SIGNED: Final = "private_key_jwt"
METHODS: Final[Mapping[str, ClientType]] = {
    NONE: ClientType.PUBLIC,
    BASIC: ClientType.CONFIDENTIAL,
    SIGNED: ClientType.CONFIDENTIAL,
}
SUPPORTED: Final = {
    "response_types_supported": ["code"],
    "grant_types_supported": ["authorization_code", "refresh_token"],
    "token_endpoint_auth_methods_supported": list(METHODS),
}
PAGES: Final = ("client_uri", "tos_uri", "policy_uri", "software_id", "software_version", "contacts")
"""Members that are kept and told again; nothing is done with them."""

Text = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)]
Address = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=2000)]


def _printable(name: str) -> str:
    """Return a name without characters that hide or turn round what stands beside it."""
    if not name.isprintable():
        raise ValueError("not printable")
    return name


Name = Annotated[
    str,
    StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=80),
    AfterValidator(_printable),
]


class ClientMetadata(BaseModel):
    """The members that are understood, by name and type; a wrong type is refused, never converted."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    redirect_uris: Annotated[list[Address], Field(min_length=1, max_length=20)]
    launch_uris: Annotated[list[Address], Field(max_length=20)] = Field(default_factory=list)
    token_endpoint_auth_method: Text = BASIC
    grant_types: Annotated[list[Text], Field(max_length=10)] = Field(default_factory=lambda: ["authorization_code"])
    response_types: Annotated[list[Text], Field(max_length=10)] = Field(default_factory=lambda: ["code"])
    application_type: Text = "web"
    client_name: Name | None = None
    scope: Annotated[str, StringConstraints(strict=True, max_length=16_384)] = DEFAULT_SCOPE
    logo_uri: Address | None = None
    client_uri: Address | None = None
    tos_uri: Address | None = None
    policy_uri: Address | None = None
    contacts: Annotated[list[Text], Field(max_length=10)] | None = None
    software_id: Text | None = None
    software_version: Text | None = None
    jwks: dict[str, Any] | None = None
    jwks_uri: Address | None = None


def read_metadata(document: Mapping[str, Any]) -> ClientMetadata:
    """Return what an app says of itself.

    Raises InvalidSoftwareStatement, InvalidRedirectUri, and InvalidClientMetadata for a member of a wrong type or a
    value that is not supported.
    """
    if "software_statement" in document:
        raise InvalidSoftwareStatement("Software statements are not taken; leave it out.")
    try:
        said = ClientMetadata.model_validate(document)
    except ValidationError as error:
        raise _refused(str(error.errors()[0]["loc"][0])) from None
    checked = said.model_dump(exclude_none=True, exclude={"redirect_uris", "launch_uris", "jwks"})
    try:
        ClientMetadataClaims(checked, {}, ClientMetadataClaims.get_claims_options(SUPPORTED)).validate()
    except InvalidClaimError as error:
        raise _refused(str(error.claim)) from None
    if said.logo_uri is not None and urlsplit(said.logo_uri).scheme != "https":
        raise _refused("logo_uri")
    return said


def client_of(said: ClientMetadata, client_id: str, organization_id: str | None) -> Client:
    """Return the client record; raises InvalidRedirectUri and InvalidClientMetadata.

    Such a client is never a backend one, so that `system/` scopes are out of its reach (security OA-14). A public one
    may be asked from the pages of its redirect URIs (CORS).
    """
    kind = METHODS[said.token_endpoint_auth_method]
    has_keys = said.jwks is not None or said.jwks_uri is not None
    if has_keys != (said.token_endpoint_auth_method == SIGNED) or (said.jwks and said.jwks_uri):
        raise InvalidClientMetadata("Keys (jwks or jwks_uri, not both) belong to private_key_jwt, and to that alone.")
    asked = Registration(
        id=client_id,
        type=kind,
        scope=said.scope,
        organization_id=organization_id,
        name=said.client_name,
        redirect_uris=said.redirect_uris,
        launch_uris=said.launch_uris,
        origins=_origins(said.redirect_uris) if kind == ClientType.PUBLIC else (),
        keys=said.jwks,
        jwks_uri=said.jwks_uri,
    )
    try:
        made = register(asked)
    except ClientRefused as error:
        raise _refused(error.member) from None
    kept = {name: value for name in PAGES if (value := getattr(said, name)) is not None}
    return replace(
        made,
        is_dynamic=True,
        is_native=said.application_type == "native" and kind == ClientType.PUBLIC,
        logo_uri=said.logo_uri,
        metadata=kept or None,
    )


def told(client: Client, method: str) -> dict[str, Any]:
    """Return what is registered of a client, as RFC 7591 §3.2.1 has it: nothing secret."""
    may_refresh = {"offline_access", "online_access"} & set(client.scope.split())
    facts = {
        "client_id": client.id,
        "client_name": client.name,
        "redirect_uris": client.redirect_uris,
        "launch_uris": client.launch_uris or None,
        "grant_types": ["authorization_code", *(["refresh_token"] if may_refresh else [])],
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
        "application_type": "native" if client.is_native else "web",
        "scope": client.scope,
        "logo_uri": client.logo_uri,
        "jwks": client.jwks,
        "jwks_uri": client.jwks_uri,
        **(client.metadata or {}),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _origins(addresses: Sequence[str]) -> tuple[str, ...]:
    """Return the origins of web addresses; apps of a device have none."""
    parts = [urlsplit(each) for each in addresses if each.startswith(("https://", "http://"))]
    return tuple(dict.fromkeys(f"{part.scheme}://{part.netloc}".lower() for part in parts))


def _refused(member: str) -> InvalidRedirectUri | InvalidClientMetadata:
    """Return the refusal of a member: its name is one of ours, its value is not repeated."""
    if member == "redirect_uris":
        return InvalidRedirectUri(
            "redirect_uris: one or more absolute addresses without fragment or wildcard; https, http on loopback, or "
            "the reverse-domain scheme of a native app without a secret."
        )
    if member in ClientMetadata.model_fields:
        return InvalidClientMetadata(f"{member} cannot be used as it is.")
    return InvalidClientMetadata(
        "Scopes, keys or names cannot be used as they are: no system/ scopes, keys RSA (RS384) or P-384 (ES384)."
    )
