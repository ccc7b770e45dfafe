"""What the authorization server can do, from one source: smart-configuration, RFC 8414, OpenID Connect, `/metadata`.

SMART App Launch 2.2 conformance; RFC 8414 §2; OpenID Connect Discovery §3; `smart.md` §§1, 2, 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from capability.registry import REGISTRY

Json = dict[str, Any]

SMART_CONFIGURATION: Final = "/.well-known/smart-configuration"
"""Path below the FHIR base."""
OPENID_CONFIGURATION: Final = "/.well-known/openid-configuration"
"""Path below the server's address."""
OAUTH_METADATA: Final = "/.well-known/oauth-authorization-server"
"""Path below the server's address (RFC 8414 §3)."""

PATHS: Final[Mapping[str, str]] = {
    "authorization_endpoint": "/oauth/authorize",
    "token_endpoint": "/oauth/token",
    "introspection_endpoint": "/oauth/introspect",
    "revocation_endpoint": "/oauth/revoke",
    "management_endpoint": "/account/apps",
    "jwks_uri": "/oauth/jwks",
    "userinfo_endpoint": "/oauth/userinfo",
}
"""Where everything is, by its name in the documents (D2, D4, D6, O1, O8)."""
APP_STATE_PATH: Final = "/app-state"
"""What apps keep for themselves: a base beside that of FHIR (`smart.md` ST6)."""
APP_STATE: Final = "smart-app-state"
"""The capability that the base of states has."""
REGISTRATION_PATH: Final = "/oauth/register"
"""RFC 7591; told where registration is switched on only (R4)."""

CAPABILITIES: Final = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "context-standalone-encounter",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)
"""SMART's own names; tests/oauth/test_discovery.py names the test that proves each."""

CLIENT_ALGORITHMS: Final = ("RS384", "ES384")
"""What clients may sign their assertions with (J1)."""
CLIENT_METHODS: Final = ("client_secret_basic", "private_key_jwt")
"""How confidential clients prove themselves; a public one has nothing to prove itself with (`none`)."""

LEVELS: Final = ("patient", "user", "system")
IDENTITY_SCOPES: Final = (
    "openid",
    "fhirUser",
    "profile",
    "launch",
    "launch/patient",
    "launch/encounter",
    "offline_access",
    "online_access",
)
ANY_TYPE_LETTERS: Final = ("rs", "cruds", "r", "s", "cud", "read", "write", "*")
"""What is told for every type at once: v2 and v1 (D8)."""
TYPE_LETTERS: Final = ("rs", "read")


@dataclass(frozen=True, slots=True)
class Category:
    """A category by which access to a type may be narrowed (C8): a token, and what it is called."""

    system: str
    code: str
    title: str

    @property
    def filter(self) -> str:
        """Return it as it stands behind the `?` of a granular scope."""
        return f"category={self.system}|{self.code}"


_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem"
_US_CORE: Final = "http://hl7.org/fhir/us/core/CodeSystem"
CATEGORIES: Final[Mapping[str, tuple[Category, ...]]] = {
    "Condition": (
        Category(f"{_TERMINOLOGY}/condition-category", "encounter-diagnosis", "Diagnoses of visits"),
        Category(f"{_TERMINOLOGY}/condition-category", "problem-list-item", "Problem list"),
        Category(f"{_US_CORE}/condition-category", "health-concern", "Health concerns"),
    ),
    "Observation": (
        Category(f"{_US_CORE}/us-core-observation-category", "clinical-test", "Clinical tests"),
        Category(f"{_TERMINOLOGY}/observation-category", "laboratory", "Laboratory results"),
        Category(f"{_TERMINOLOGY}/observation-category", "social-history", "Social history"),
        Category(f"{_US_CORE}/us-core-category", "sdoh", "Social circumstances"),
        Category(f"{_TERMINOLOGY}/observation-category", "survey", "Questionnaires and surveys"),
        Category(f"{_TERMINOLOGY}/observation-category", "vital-signs", "Vital signs"),
    ),
}
"""The granular scopes of US Core (us_core.md; `smart.md` C8), by type."""


def endpoints(base_url: str, *, registration: bool = False) -> dict[str, str]:
    """Return the address of each endpoint by its name in the documents; `base_url` is the server's, without slash."""
    found = {name: f"{base_url}{path}" for name, path in PATHS.items()}
    return found | ({"registration_endpoint": f"{base_url}{REGISTRATION_PATH}"} if registration else {})


def authorization_server_metadata(base_url: str, *, registration: bool = False) -> Json:
    """Return the document of RFC 8414 §2; every other document says the same where it speaks of the same (D11)."""
    return {
        "issuer": base_url,
        **endpoints(base_url, registration=registration),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": [*CLIENT_METHODS, "none"],
        "token_endpoint_auth_signing_alg_values_supported": list(CLIENT_ALGORITHMS),
        "introspection_endpoint_auth_methods_supported": list(CLIENT_METHODS),
        "introspection_endpoint_auth_signing_alg_values_supported": list(CLIENT_ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": [*CLIENT_METHODS, "none"],
        "revocation_endpoint_auth_signing_alg_values_supported": list(CLIENT_ALGORITHMS),
        "authorization_response_iss_parameter_supported": True,
        "scopes_supported": scopes_supported(),
    }


def smart_configuration(base_url: str, *, registration: bool = False) -> Json:
    """Return `[base]/.well-known/smart-configuration` (`smart.md` §1)."""
    shared = authorization_server_metadata(base_url, registration=registration)
    beside = {"url": f"{base_url}{APP_STATE_PATH}", "capabilities": [APP_STATE]}
    return {**shared, "capabilities": list(CAPABILITIES), "associated_endpoints": [beside]}


def openid_configuration(base_url: str, *, registration: bool = False) -> Json:
    """Return the OpenID provider's configuration (`smart.md` O1)."""
    return {
        **authorization_server_metadata(base_url, registration=registration),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nonce", "auth_time", "fhirUser"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


def scopes_supported() -> list[str]:
    """Return scopes that work: those of identity and launch, of every type at once, of each type, and granular ones.

    More work than are told: any order-preserving choice of the letters `cruds`, and other filters (D8).
    """
    every = [f"{level}/*.{letters}" for level in LEVELS for letters in ANY_TYPE_LETTERS]
    single = [f"{level}/{name}.{letters}" for level in LEVELS for name in REGISTRY for letters in TYPE_LETTERS]
    granular = [
        f"{level}/{name}.rs?{category.filter}"
        for level in LEVELS
        for name, categories in CATEGORIES.items()
        for category in categories
    ]
    return [*IDENTITY_SCOPES, *every, *single, *granular]


_OAUTH_URIS: Final = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_CAPABILITIES: Final = "http://fhir-registry.smarthealthit.org/StructureDefinition/capabilities"
_URIS: Final[Mapping[str, str]] = {
    "authorize": "authorization_endpoint",
    "token": "token_endpoint",
    "introspect": "introspection_endpoint",
    "revoke": "revocation_endpoint",
    "manage": "management_endpoint",
    "register": "registration_endpoint",
}


def security_extensions(base_url: str, *, registration: bool = False) -> list[Json]:
    """Return what the CapabilityStatement's `rest.security` tells of all this (S1, S2; deprecated, and still read)."""
    places = endpoints(base_url, registration=registration)
    uris = [{"url": name, "valueUri": places[place]} for name, place in _URIS.items() if place in places]
    return [
        {"url": _OAUTH_URIS, "extension": uris},
        *({"url": _CAPABILITIES, "valueCode": each} for each in CAPABILITIES),
    ]
