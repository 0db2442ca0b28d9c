"""The tables of the installed MLflow: their names, columns and revisions, and creating or upgrading them.

Importing this module imports MLflow and SQLAlchemy, which takes seconds.
"""

from __future__ import annotations

import functools
from contextlib import closing
from pathlib import Path

import sqlalchemy
from alembic.script import ScriptDirectory
from mlflow.exceptions import MlflowException
from mlflow.store.db.base_sql_model import Base
from mlflow.store.db.utils import _get_alembic_config, _initialize_tables
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase
from sqlalchemy.exc import SQLAlchemyError


def all_revisions() -> list[str]:
    """Return all revisions that the installed MLflow knows, its own first."""
    script = ScriptDirectory.from_config(_get_alembic_config(db_url=""))
    return [step.revision for step in script.walk_revisions()]


def needed_tables() -> set[str]:
    """Return the names of the tables that the installed MLflow needs."""
    return set(Base.metadata.tables)


@functools.cache
def columns_by_table() -> dict[str, set[str]]:
    """Return the columns that MLflow's tables have, or had before its migrations."""
    found: dict[str, set[str]] = {}
    for tables_of in (Base.metadata.tables, InitialBase.metadata.tables):
        for name, table in tables_of.items():
            found.setdefault(name, set()).update(column.name for column in table.columns)
    return found


def upgrade(file: Path) -> Exception | None:
    """Create or upgrade the tables in a SQLite file; return the error of MLflow or SQLAlchemy if that fails."""
    engine = sqlalchemy.create_engine(sqlalchemy.URL.create("sqlite", database=str(file)))
    try:
        _initialize_tables(engine)
    except (SQLAlchemyError, MlflowException) as error:
        return error
    finally:
        engine.dispose()
    return None


def empty_store() -> bytes:
    """Return a new empty store, created in memory, since the migrations are slow on disk."""
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.StaticPool)
    with closing(engine.raw_connection()) as memory:
        _initialize_tables(engine)
        content: bytes = memory.driver_connection.serialize()  # type: ignore[union-attr]
        return content
