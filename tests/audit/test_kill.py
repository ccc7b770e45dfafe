"""kill -9 at any moment: whatever was answered is on record (security AD-3)."""

from __future__ import annotations

import subprocess
import sys

from storage.audit_seals import Trail, export
from storage.audit_verify import verify
from tests.audit.conftest import KEY

READER = """
import asyncio, sys
from tests.audit.conftest import a_record, make_store
from storage.audit import AuditWriter

async def main():
    writer = AuditWriter(make_store(sys.argv[1]))
    async def serve(first):
        for n in range(first, 10**6, 8):
            await writer.record(a_record(n))
            print(f"user-{n}", flush=True)
    await asyncio.gather(*(serve(n) for n in range(8)))

asyncio.run(main())
"""


def test_security_AD3_what_was_answered_before_kill_9_is_on_record(fresh_database_url: str, store, trail: Trail):
    command = [sys.executable, "-c", READER, fresh_database_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        answered = [reader.stdout.readline().strip() for _ in range(200)]
        reader.kill()
        answered += [line.strip() for line in reader.stdout if line.endswith("\n")]
    recorded = {row["actor_id"] for row in export(trail, "loop-health")}
    assert len(answered) >= 200
    assert set(answered) <= recorded
    assert not verify(trail, "loop-health", KEY).findings
