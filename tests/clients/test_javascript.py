"""The JavaScript client `fhir-kit-client` does what its documentation shows, against the running server.

The examples are in `js/examples.mjs`; `make test` installs the client, and Node.js where there is none.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "js"
EXAMPLES = re.findall(r"^  async (?:'([^']+)'|(\w+))\(\)", (FOLDER / "examples.mjs").read_text(), re.MULTILINE)
NAMES = [quoted or plain for quoted, plain in EXAMPLES]


@pytest.fixture(scope="module")
def results(site):
    node = shutil.which("node")
    assert node, "Node.js is missing: `make test` installs it"
    assert (FOLDER / "node_modules").exists(), "the client is missing: `make test` installs it"
    done = subprocess.run(
        [node, "examples.mjs", site.base, site.token()],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {line["name"]: line["error"] for line in map(json.loads, done.stdout.splitlines())}


def test_clients_javascript_every_example_ran(results):
    assert list(results) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_clients_javascript(results, name):
    assert results[name] is None
