"""A server that finds an index of another definition serves, and says so in its log."""

from __future__ import annotations

from structlog.testing import capture_logs

from fhir_server.app import create_app
from fhir_server.settings import Settings
from storage.rls import ROLE
from tests.cli.test_reconcile import sql
from tests.site import SECRET, signing_ring


async def started(url: str) -> list[dict[str, object]]:
    """Start and stop a server, and return what it logged of the index."""
    settings = Settings(database_url=url, database_role=ROLE, base_url="http://fhir.example", secret=SECRET)
    await signing_ring(settings)
    app = create_app(settings)
    with capture_logs() as lines:
        async with app.running():
            assert app.worker is not None
            await app.worker.check_ready()
    return [line for line in lines if line["event"] == "index_outdated"]


async def test_security_DU10_a_start_with_an_index_of_another_definition_is_a_warning(fresh_database_url: str):
    assert await started(fresh_database_url) == []
    sql(fresh_database_url, "UPDATE index_definitions SET fingerprint = 'of another version'")
    (line,) = await started(fresh_database_url)
    assert line["log_level"] == "warning"
    assert line["organizations"] == ["health-hub", "loop-health"]
    assert line["remedy"] == "fhir-server reconcile --fix"
