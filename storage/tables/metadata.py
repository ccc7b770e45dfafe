"""The one MetaData of all tables, and the column types that both engines share."""

from __future__ import annotations

from sqlalchemy import BigInteger, LargeBinary, MetaData, Text
from sqlalchemy.types import TypeEngine

NAMING_CONVENTION = {
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}

metadata = MetaData(naming_convention=NAMING_CONVENTION)

Identifier: TypeEngine[str] = Text().with_variant(Text(collation="C"), "postgresql")
"""Text compared byte by byte on both engines: ids, codes, keys. Leakproof, so usable under row-level security."""

Int8 = BigInteger()
Bytes = LargeBinary()
