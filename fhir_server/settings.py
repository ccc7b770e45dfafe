"""Settings of the server, read once from the environment; no other module reads it.

Every setting is an environment variable with the prefix `FHIR_SERVER_`; the database URL is `DATABASE_URL`.
`settings_markdown` writes the page `docs/settings.md` from the declarations below.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from datetime import UTC, tzinfo
from enum import StrEnum
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from capability.roles import assignable_roles
from fhir_server.limits.limit import Limit

PREFIX: Final = "FHIR_SERVER_"
MINIMUM_SECRET_BYTES: Final = 32
DATABASES: Final = frozenset({"postgresql", "sqlite"})
COUNTERS: Final = frozenset({"redis", "rediss", "valkey", "valkeys"})
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
SECOND_FACTOR_ROLES: Final = frozenset({"ORG_ADMIN", "CLINICIAN", "NURSE", "AUDITOR"})


class SettingsInvalid(Exception):
    """A setting is missing or cannot be used; the message names it and the remedy, never its value."""


class References(StrEnum):
    """How literal references are checked on writes (settled §3.5)."""

    SHAPE = "shape"
    ENFORCE = "enforce"


class ConditionalDelete(StrEnum):
    """How many resources one conditional delete may find (http.html#3.1.0.7.1)."""

    SINGLE = "single"
    MULTIPLE = "multiple"


class ProfileChecks(StrEnum):
    """Which profiles are checked on writes (fhir_rest C6)."""

    CLAIMED = "claimed"
    OFF = "off"


class PasswordHashing(StrEnum):
    """What hashing a password costs (security AU-1)."""

    STRONG = "strong"
    FLOOR = "floor"


class SelfRegistration(StrEnum):
    """Which apps may register themselves (RFC 7591, security OA-14)."""

    OFF = "off"
    TOKEN = "token"  # noqa: S105 a word, no secret
    OPEN = "open"


def _zone(name: str) -> tzinfo:
    """Return a zone by its name; raises ValueError for one that the system does not know."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
        raise ValueError("must be the name of a time zone such as Europe/Vienna") from error


class Settings(BaseSettings):
    """All settings; frozen, so that what was read at the start stays true."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", populate_by_name=True)

    database_url: str = Field(
        "sqlite:///var/fhir-server.sqlite",
        validation_alias=AliasChoices("DATABASE_URL", "FHIR_SERVER_DATABASE_URL"),
        description="The database: `postgresql://user@host/name` or `sqlite:///path`. May hold a password.",
        repr=False,
    )
    migration_database_url: str | None = Field(
        None,
        description="The same database as its owner, for `init` and `audit retire`, when `DATABASE_URL` logs in as a "
        "lesser role.",
        repr=False,
    )
    database_role: str = Field(
        "fhir_server_app",
        description="PostgreSQL role that every connection takes; row-level security binds it. Empty: none is taken.",
    )
    pool_size: int = Field(8, ge=1, le=200, description="Database connections of each pool, per worker.")
    organization: str = Field("loop-health", description="Organization of a command that names none.", min_length=1)
    base_url: str = Field(
        "http://127.0.0.1:8000",
        description="Public address of the server without trailing slash. The FHIR base is `<base_url>/fhir`; absolute "
        "references below it are local ones, so run `fhir-server reconcile --fix` after a change.",
    )
    site_name: str = Field("FHIR server", description="Name of the site on its pages.", min_length=1, max_length=80)
    dev: bool = Field(False, description="Development: loopback only, and a secret is made when there is none.")
    demo_app: bool = Field(
        False, description="Serve the sample SMART app under `/demo-app/`; in development only. `demo` sets it."
    )
    secret: SecretStr | None = Field(
        None, description="At least 32 random bytes as text, from which all keys are derived. Comes before the file."
    )
    secret_file: Path = Field(
        Path("var/secret"), description="File that holds the secret when `FHIR_SERVER_SECRET` is not set."
    )
    session_idle_seconds: int = Field(
        900, ge=60, le=43_200, description="How long a person stays signed in without doing anything."
    )
    session_seconds: int = Field(
        43_200, ge=60, le=86_400, description="How long a person stays signed in, whatever they do."
    )
    mfa_roles: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        None,
        description="Roles, separated by spaces, whose holders sign in with a second factor; empty: nobody has to. "
        "Default: `ORG_ADMIN CLINICIAN NURSE AUDITOR`, in development nobody.",
    )
    password_hashing: PasswordHashing = Field(
        PasswordHashing.STRONG,
        description="Cost of a password's hash, Argon2id: `strong` 64 MiB, 3 passes; `floor` 19 MiB, 2 passes, the "
        "least that OWASP allows. Stronger ones are made at the next sign-in.",
    )
    access_token_ttl: int = Field(900, ge=1, le=3600, description="Life of an access token in seconds.")
    refresh_token_idle_days: int = Field(
        90, ge=1, le=3650, description="How long a refresh token can wait to be used, in days."
    )
    refresh_token_days: int = Field(
        365, ge=1, le=3650, description="How long what a person granted can be refreshed, however often, in days."
    )
    remembered_consent_days: int = Field(
        90,
        ge=0,
        le=365,
        description="Days for which an app that asks for no more than before is not asked about again; 0: none.",
    )
    token_cache_size: int = Field(10_000, ge=1, description="Verified access tokens kept in memory, per worker.")
    revocation_poll_seconds: float = Field(1.0, gt=0, le=1.0, description="How often revocations are looked up.")
    max_body_bytes: int = Field(16 * 2**20, ge=1024, description="Largest body of a request; above it 413.")
    max_bundle_bytes: int = Field(64 * 2**20, ge=1024, description="Largest body of a batch or transaction.")
    max_bundle_entries: int = Field(5_000, ge=1, description="Most entries of a batch or transaction.")
    max_json_nodes: int = Field(2_000_000, ge=1000, description="Most JSON values in one body.")
    max_json_depth: int = Field(64, ge=8, le=256, description="Deepest nesting of JSON.")
    max_header_bytes: int = Field(64 * 2**10, ge=1024, description="Most bytes of request line and headers.")
    max_in_flight: int = Field(
        512, ge=1, description="FHIR requests that a worker has under way at most; above it 503 with `Retry-After`."
    )
    body_idle_seconds: float = Field(
        10.0, gt=0, description="Longest pause between two pieces of a body in seconds; then 408, and the end."
    )
    body_seconds: float = Field(30.0, gt=0, description="Longest time that a whole body may take; then likewise 408.")
    default_count: int = Field(50, ge=1, description="Resources on a page when `_count` is not given.")
    max_count: int = Field(1_000, ge=1, description="Largest `_count`; more is cut to it.")
    time_zone: str = Field(
        "UTC",
        description="Zone of searched times without an offset (`date=2024-05-31T10:00`), such as `Europe/Vienna`. "
        "Dates are those of UTC, as stored ones are.",
    )
    search_parameters: Path | None = Field(
        None,
        description="File or folder of SearchParameter resources (JSON) that are served beside the published ones. "
        "After a change run `fhir-server reconcile --fix`.",
    )
    references: References = Field(
        References.SHAPE,
        description="`shape`: a literal reference must be well formed; `enforce`: and its target known.",
    )
    update_as_create: bool = Field(
        True, description="Whether an update of an id that never was creates the resource; else 404."
    )
    conditional_delete: ConditionalDelete = Field(
        ConditionalDelete.SINGLE,
        description="`single`: a conditional delete that finds several resources is refused (412); `multiple`: it "
        "deletes all of them, up to 1,000.",
    )
    validate_profiles: ProfileChecks = Field(
        ProfileChecks.CLAIMED,
        description="`claimed`: what is written has to follow the known profiles that its `meta.profile` claims; "
        "`off`: claims are not looked at.",
    )
    audit_batch: int = Field(200, ge=1, le=10_000, description="Most audit records of reads in one commit.")
    audit_years: int = Field(
        7, ge=7, le=100, description="Years that audit records are kept before `audit retire` may remove them."
    )
    audit_heads: Path | None = Field(
        None,
        description="File, best on another machine's disk, that gets a signed line an hour with the newest seal of "
        "each organization's audit trail; `audit verify` compares them.",
    )
    audit_queue: int = Field(10_000, ge=1, description="Audit records that may wait; above it reads answer 503.")
    graph_user_limit: Annotated[Limit | None, NoDecode] = Field(
        Limit(100, 60),
        description="Requests to `/graph` that one user may make within so many seconds, `<requests>/<seconds>`; above "
        "it 429. Empty: no limit. See [rate limits](rate-limits.md).",
    )
    graph_address_limit: Annotated[Limit | None, NoDecode] = Field(
        Limit(1000, 60), description="Likewise of one address, counted before it is known who asks. Empty: no limit."
    )
    graph_webhook_limit: Annotated[Limit | None, NoDecode] = Field(
        Limit(20, 60), description="Likewise of one address to the webhooks below `/graph`. Empty: no limit."
    )
    fhir_limit: Annotated[Limit | None, NoDecode] = Field(
        None,
        description="Likewise of one client to `/fhir`, unless it was registered with a limit of its own. Empty: no "
        "limit.",
    )
    limits_url: SecretStr | None = Field(
        None,
        description="Redis or Valkey that counts requests for all workers, `redis://host:6379/0` or `valkey://…`; with "
        "TLS `rediss://…` or `valkeys://…`. Without it the database does. May hold a password.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins of browser apps, separated by spaces, beside those that clients registered."
    )
    registration: SelfRegistration = Field(
        SelfRegistration.OFF,
        description="Which apps may register themselves at `/oauth/register`: `off`: none; `token`: those that were "
        "given a token by `fhir-server client registration-token`; `open`: every one.",
    )
    identity_providers: Path | None = Field(
        None,
        description="JSON file that lists the OpenID Connect issuers whose users may sign in and whose tokens the "
        "internal APIs take; see [authorization](authorization.md).",
    )
    allow_private_jwks: bool = Field(
        False,
        description="Whether key sets and identity providers may lie in private networks and on this machine; without "
        "it only public addresses are asked, and in development this machine.",
    )
    host: str = Field("127.0.0.1", description="Address that `serve` listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port that `serve` listens on.")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses or networks of the reverse proxies before the server, separated by spaces, such as "
        "`127.0.0.1` or `10.1.0.0/16`: what they say in `X-Forwarded-For` is where a request comes from. Without them "
        "all who come through a proxy count as one address, and wait for each other's wrong passwords.",
    )
    workers: int = Field(1, ge=1, le=64, description="Processes that `serve` starts.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")

    @field_validator("database_url", "migration_database_url")
    @classmethod
    def _served_database(cls, value: str | None) -> str | None:
        if value is not None and value.partition(":")[0].partition("+")[0] not in DATABASES:
            raise ValueError("must begin with postgresql:// or sqlite:///")
        return value

    @field_validator("base_url")
    @classmethod
    def _absolute(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
            raise ValueError("must be an absolute http or https address without query")
        return value.rstrip("/")

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _origins_only(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or parts.query:
                raise ValueError("must be origins such as https://app.example, separated by spaces")
        return value

    @field_validator("graph_user_limit", "graph_address_limit", "graph_webhook_limit", "fhir_limit", mode="before")
    @classmethod
    def _written_limit(cls, value: object) -> object:
        if isinstance(value, str):
            return Limit.parse(value) if value.strip() else None
        return value

    @field_validator("limits_url")
    @classmethod
    def _known_counter(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if urlsplit(value.get_secret_value()).scheme not in COUNTERS:
            raise ValueError("must begin with redis:// or valkey://, with TLS rediss:// or valkeys://")
        return value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks_only(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            known = [ip_network(each) for each in value]
        except ValueError:
            raise ValueError("must be addresses or networks such as 10.0.0.5 10.1.0.0/16") from None
        if any(network.prefixlen == 0 for network in known):
            raise ValueError("must not be the whole Internet: anybody could name any address")
        return value

    @field_validator("mfa_roles", mode="before")
    @classmethod
    def _roles(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("mfa_roles")
    @classmethod
    def _known_roles(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        known = assignable_roles()
        if not all(role in known for role in value or ()):
            raise ValueError(f"must be roles, separated by spaces: {', '.join(known)}")
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        _zone(value)
        return value

    @field_validator("secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < MINIMUM_SECRET_BYTES:
            raise ValueError(f"must have at least {MINIMUM_SECRET_BYTES} bytes; `openssl rand -hex 32` makes one")
        return value

    @model_validator(mode="after")
    def _loopback_in_development(self) -> Settings:
        if self.dev and self.host not in LOOPBACK:
            raise ValueError("host must be a loopback address while dev is on")
        if self.demo_app and not self.dev:
            raise ValueError("demo_app is for development: set dev, or leave it out")
        return self

    @property
    def fhir_base(self) -> str:
        """The FHIR base URL, which is also the audience of access tokens."""
        return f"{self.base_url}/fhir"

    @property
    def second_factor_roles(self) -> frozenset[str]:
        """The roles whose holders have to sign in with a second factor (AU-4)."""
        if self.mfa_roles is not None:
            return frozenset(self.mfa_roles)
        return frozenset() if self.dev else SECOND_FACTOR_ROLES

    @cached_property
    def zone(self) -> tzinfo:
        """The zone of searched times without an offset."""
        return _zone(self.time_zone)

    @property
    def checks_claims(self) -> bool:
        """Whether what is written has to follow the profiles that it claims."""
        return self.validate_profiles is ProfileChecks.CLAIMED

    @property
    def takes_registrations(self) -> bool:
        """Whether apps may register themselves, be it with a token only."""
        return self.registration is not SelfRegistration.OFF

    @property
    def owner_database_url(self) -> str:
        """The URL to migrate with."""
        return self.migration_database_url or self.database_url

    @cached_property
    def secret_bytes(self) -> bytes:
        """The secret of the installation (KY-3).

        Raises SettingsInvalid when there is none or it is too short; with `dev` a missing one is made and kept in
        `secret_file`, readable by its owner only.
        """
        if self.secret is not None:
            return self.secret.get_secret_value().encode()
        if self.secret_file.exists():
            return _read_secret(self.secret_file)
        if self.dev:
            return _make_secret(self.secret_file)
        raise SettingsInvalid(
            f"There is no secret. Set {PREFIX}SECRET to at least {MINIMUM_SECRET_BYTES} random bytes "
            f"(`openssl rand -hex 32`) or {PREFIX}SECRET_FILE to a file with it; in development set {PREFIX}DEV=1."
        )

    def derive(self, purpose: str) -> bytes:
        """Return the 32-byte key of one purpose, derived from the secret (HKDF-Expand, RFC 5869 §2.3)."""
        return hmac.digest(self.secret_bytes, f"fhir-server {purpose}".encode() + b"\x01", hashlib.sha256)


def load_settings(**overrides: Any) -> Settings:
    """Return the settings of the environment, `overrides` first.

    Raises SettingsInvalid, which names every variable at fault and none of the values.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        faults = "; ".join(f"{_variable(fault['loc'])}: {_reason(fault['msg'])}" for fault in error.errors())
        raise SettingsInvalid(f"Settings cannot be used: {faults}.") from None


def _variable(location: tuple[int | str, ...]) -> str:
    if not location:
        return PREFIX + "*"
    name = str(location[0])
    return name if name.isupper() else PREFIX + name.upper()


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ")


def _read_secret(path: Path) -> bytes:
    secret = path.read_bytes().strip()
    if len(secret) < MINIMUM_SECRET_BYTES:
        raise SettingsInvalid(f"The secret in {path} is shorter than {MINIMUM_SECRET_BYTES} bytes; replace it.")
    return secret


def _make_secret(path: Path) -> bytes:
    """Write a new secret; when another process was faster, its secret holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(MINIMUM_SECRET_BYTES))
    try:
        os.link(draft, path)  # fails when it exists: never half-written, never replaced
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return _read_secret(path)


def settings_markdown() -> str:
    """Return the page that documents every setting, its default and its meaning."""
    lines = [
        "# Settings",
        "",
        "Read once at the start, from environment variables. Written by `fhir-server settings --markdown`.",
        "",
        "| variable | default | meaning |",
        "| --- | --- | --- |",
    ]
    for name, field in Settings.model_fields.items():
        variable = "DATABASE_URL" if name == "database_url" else PREFIX + name.upper()
        lines.append(f"| `{variable}` | {_default(field.default)} | {field.description} |")
    return "\n".join(lines) + "\n"


def _default(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, tuple):
        return "empty"
    if isinstance(value, bool):
        return f"`{int(value)}`"
    return f"`{value}`" if str(value) else "empty"
