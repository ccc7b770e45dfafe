"""A process that makes 75 requests for each of some keys, as fast as they go, once it is told to.

python worker.py DATABASE_URL; prints how many were let through, by key.
"""

from __future__ import annotations

import asyncio
import json
import sys

from fhir_server.limits.grouped import GroupedLimiter
from fhir_server.limits.limit import Limit
from storage.rate_limits import create_rate_limits
from storage.rls import ROLE

LIMIT = Limit(100, 600)
KEYS = ("one", "two", "three")
TOGETHER = 5
EACH = 15


async def main(url: str) -> None:
    """Connect, say so, wait for a line and ask."""
    limiter = GroupedLimiter(create_rate_limits(url.partition(":")[0], url, role=ROLE))
    await limiter.hit("other", LIMIT)
    print("ready", flush=True)
    sys.stdin.readline()
    let_through = dict.fromkeys(KEYS, 0)

    async def client(key: str) -> None:
        for _ in range(EACH):
            standing = await limiter.hit(key, LIMIT)
            let_through[key] += standing.allowed

    await asyncio.gather(*(client(key) for key in KEYS for _ in range(TOGETHER)))
    await limiter.close()
    print(json.dumps(let_through), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
