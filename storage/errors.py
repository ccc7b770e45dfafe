"""What can go wrong in storage. Errors carry facts; the edge decides how they look.

StorageError
├── ResourceNotFound          never was, or lies outside the caller's access
├── ResourceGone              deleted
├── VersionConflict           If-Match does not name the current version
├── ResourceExists            a create-only write met an existing resource
├── ReferenceConflict         others refer to what shall be deleted
├── UnresolvedReference       a reference that must resolve does not
├── ReadOnlyHome              the resource's home is a table that FHIR may not write
├── MappingRefused            the home's mapper cannot hold what was written
├── WriteOutsideAccess        the written resource lies outside what the caller may write
│   └── IdentityOutsideAccess it changes who a patient is to this installation
├── InteractionForbidden      the caller's scopes or role do not reach the type at all
├── CursorInvalid             a page cursor was altered or belongs to someone else
├── CursorExpired             a page cursor is too old
├── SearchTooCostly           a limit of the search was passed
├── ValueSetUnknown           the codes of a value set that a search names are not at hand
├── HierarchyUnknown          a code system whose hierarchy a search asks for is not at hand
├── ConcurrencyConflict       deadlock or serialisation failure that retries did not cure
├── AuditUnavailable          the audit record could not be made durable
├── SchemaOutOfDate           the database's schema is not the one this version needs
│   └── MapperStopped         a table is not as the mapper that holds the resource declares
└── DatabaseUnavailable       no connection, or it was lost; nothing was acknowledged
"""

from __future__ import annotations

from collections.abc import Sequence


class StorageError(Exception):
    """Root of what storage raises."""


class ResourceNotFound(StorageError):
    """No such resource, or none that the caller may know of: the two are never told apart (settled §4.3).

    With `version` it is that version which there is not, of a resource that may be known.
    """

    def __init__(self, resource_type: str, resource_id: str, version: int | None = None) -> None:
        of_version = "" if version is None else f"/_history/{version}"
        super().__init__(f"{resource_type}/{resource_id}{of_version} is not known")
        self.resource_type = resource_type
        self.resource_id = resource_id


class ResourceGone(StorageError):
    """The resource, or the version asked for, is its deletion."""

    def __init__(self, resource_type: str, resource_id: str, version: int, last_updated: int) -> None:
        super().__init__(f"{resource_type}/{resource_id} was deleted")
        self.resource_type = resource_type
        self.resource_id = resource_id
        self.version = version
        self.last_updated = last_updated


class VersionConflict(StorageError):
    """The current version is not the one the writer expected (http.html#concurrency)."""

    def __init__(self, resource_type: str, resource_id: str) -> None:
        super().__init__(f"{resource_type}/{resource_id} is not at the expected version: read it again first")
        self.resource_type = resource_type
        self.resource_id = resource_id


class ResourceExists(StorageError):
    """A write that may only create found the id taken."""

    def __init__(self, resource_type: str, resource_id: str) -> None:
        super().__init__(f"{resource_type}/{resource_id} exists")
        self.resource_type = resource_type
        self.resource_id = resource_id


class ReferenceConflict(StorageError):
    """Other resources refer to the one to be deleted; `referrers` lists some the caller may see."""

    def __init__(self, resource_type: str, resource_id: str, referrers: Sequence[str]) -> None:
        super().__init__(f"{resource_type}/{resource_id} is referred to by other resources")
        self.resource_type = resource_type
        self.resource_id = resource_id
        self.referrers = tuple(referrers)


class UnresolvedReference(StorageError):
    """A reference that has to resolve (settled §3.5) does not; `reference` is the literal, `expression` its place."""

    def __init__(self, reference: str, expression: str = "") -> None:
        super().__init__("a reference does not resolve")
        self.reference = reference
        self.expression = expression


class ReadOnlyHome(StorageError):
    """The resource is a view of rows that only their own API may change; `endpoint` names it (settled §1.5)."""

    def __init__(self, resource_type: str, resource_id: str, endpoint: str) -> None:
        super().__init__(f"{resource_type}/{resource_id} is changed through {endpoint}")
        self.resource_type = resource_type
        self.resource_id = resource_id
        self.endpoint = endpoint


class MappingRefused(StorageError):
    """The row that holds the resource cannot take what was written; `reason` says what and the remedy."""

    def __init__(self, resource_type: str, resource_id: str, reason: str) -> None:
        super().__init__(reason)
        self.resource_type = resource_type
        self.resource_id = resource_id
        self.reason = reason


class WriteOutsideAccess(StorageError):
    """Old or new state of a written resource lies outside the caller's access (security AZ-8)."""

    def __init__(self, resource_type: str) -> None:
        super().__init__(f"this {resource_type} may not be written by this caller")
        self.resource_type = resource_type


class IdentityOutsideAccess(WriteOutsideAccess):
    """A caller bound to one patient changed the identifiers by which this installation knows the patient."""

    def __init__(self, resource_type: str, expression: str, systems: str) -> None:
        super().__init__(resource_type)
        self.args = (f"identifiers of {systems} are the organization's to change: leave them as they are",)
        self.expression = expression


class InteractionForbidden(StorageError):
    """The caller's rights do not reach the type with this interaction at all (security AZ-4)."""

    def __init__(self, resource_type: str, interaction: str) -> None:
        super().__init__(f"{interaction} of {resource_type} is not granted")
        self.resource_type = resource_type
        self.interaction = interaction


class CursorInvalid(StorageError):
    """A page cursor was altered, or was made for another caller or query."""

    def __init__(self) -> None:
        super().__init__("this page is not of this search and caller: follow links as they are, or search again")


class CursorExpired(StorageError):
    """A page cursor is older than its life time."""

    def __init__(self) -> None:
        super().__init__("the link to this page is too old: search again")


class SearchTooCostly(StorageError):
    """A limit on searches was passed; `reason` names the limit and the remedy, `parameter` what passed it, if known."""

    def __init__(self, reason: str, parameter: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.parameter = parameter


class ValueSetUnknown(StorageError):
    """The codes of a value set that `parameter` names are not at hand; `reason` says what and the remedy."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.parameter = ""


class HierarchyUnknown(StorageError):
    """`parameter` asks for what lies above or below a code, in a system whose hierarchy is not at hand."""

    def __init__(self) -> None:
        super().__init__("the hierarchy of the code system is not known: store a CodeSystem with this url")
        self.parameter = ""


class ConcurrencyConflict(StorageError):
    """Deadlock or serialisation failure after every retry; the request may be sent again."""


class AuditUnavailable(StorageError):
    """The audit record could not be made durable, so no answer may leave."""


class SchemaOutOfDate(StorageError):
    """The database's schema is older or newer than this version needs; run `fhir-server init`."""


class MapperStopped(SchemaOutOfDate):
    """The resource's home is a table that is not as its mapper declares; `fhir-server drift` names the remedy."""

    def __init__(self, resource_type: str, table: str) -> None:
        super().__init__(f"{resource_type} cannot be written: {table} has changed; `fhir-server drift` says how")
        self.resource_type = resource_type


class DatabaseUnavailable(StorageError):
    """No connection, or it was lost before COMMIT was acknowledged; `retry_after` is in seconds."""

    def __init__(self, retry_after: int = 2) -> None:
        super().__init__("the database cannot be reached")
        self.retry_after = retry_after
