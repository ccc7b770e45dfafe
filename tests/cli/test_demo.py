"""`fhir-server demo`: one command starts it (design Decision 11), twice does no harm, and the README's lines work."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from fhir_server.cli.demonstration import Demonstration, tell
from fhir_server.demo.cast import SAMPLE_PATIENT, USERS

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "fhir_server")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FHIR_SERVER_", "DATABASE_URL"))}
    return kept | {"PYTHONPATH": str(REPOSITORY)}


def prepare(folder: Path, port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "demo", "--port", str(port), "--prepare-only"],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A running demonstration: its address and the token it printed."""
    folder, port = tmp_path_factory.mktemp("demo"), free_port()
    process = subprocess.Popen(
        [*COMMAND, "demo", "--port", str(port)], cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    )
    token, told = "", []
    assert process.stdout is not None
    for line in process.stdout:
        told.append(line)
        if match := re.search(r"export TOKEN=(\S+)", line):
            token = match[1]
        if line.startswith("Stop with"):
            break
    (folder / "told").write_text("".join(told), "utf-8")
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}/readyz").status_code == 200:
                break
        except httpx.TransportError:
            time.sleep(0.1)
    yield address, token, folder
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    process.stdout.close()


@pytest.mark.parametrize("resource_type", ["Patient", "Observation", "MedicationRequest", "CarePlan"])
def test_the_demo_serves_the_four_resources_out_of_tables(demo, resource_type):
    address, token, _ = demo
    answer = httpx.get(f"{address}/fhir/{resource_type}?_summary=count", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert answer.json()["total"] > 5


def test_the_demo_serves_all_three_systems_each_to_its_own_client(demo):
    address, _, folder = demo
    own = {"FHIR_SERVER_BASE_URL": address}
    seen = {}
    for client in ("demo-service", "demo-care", "demo-hub"):
        token = run(folder, "token", "--client", client, "--scope", "system/*.rs", variables=own).strip()
        answer = httpx.get(f"{address}/fhir/Patient?_count=100", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200
        seen[client] = {entry["resource"]["id"] for entry in answer.json()["entry"]}
    assert all(len(ids) > 2 for ids in seen.values())
    assert sum(map(len, seen.values())) == len(set.union(*seen.values()))


def test_without_its_token_the_demo_answers_401(demo):
    address, _, _ = demo
    assert httpx.get(f"{address}/fhir/Patient").status_code == 401


def readme_blocks(language: str, address: str) -> str:
    """Return what the README says a reader may paste, in that language, for the server at an address."""
    tried = (REPOSITORY / "README.md").read_text("utf-8").split("<!-- tried by a test -->\n")[1:]
    blocks = [each.split("```")[1] for each in tried]
    own = [each.removeprefix(f"{language}\n") for each in blocks if each.startswith(f"{language}\n")]
    assert own
    return "\n".join(own).replace("http://127.0.0.1:8000", address)


def test_the_readmes_python_lines_work_against_the_demo(demo):
    address, token, folder = demo
    done = subprocess.run(
        [sys.executable, "-c", readme_blocks("python", address)],
        cwd=folder, env=environment() | {"TOKEN": token}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Quest Diagnostics" in done.stdout
    assert "NotFound(message='Profile not found')" in done.stdout


def test_the_readmes_curl_lines_work_against_the_demo(demo):
    address, token, folder = demo
    script = readme_blocks("bash", address)
    script = script.replace(".venv/bin/fhir-server", " ".join(COMMAND))
    lines = [line for line in script.splitlines() if not line.startswith("export TOKEN=")]
    done = subprocess.run(
        ["bash", "-eu", "-c", "\n".join(lines).replace("curl ", "curl --fail-with-body ")],
        cwd=folder, env=environment() | {"TOKEN": token}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"resourceType":"Bundle"' in done.stdout
    assert '"value":41.50' in done.stdout
    assert '"avgValue":96.5' in done.stdout


def test_the_lines_that_the_demo_prints_work_as_they_stand(demo):
    _, _, folder = demo
    told = (folder / "told").read_text("utf-8").splitlines()
    lines = [line.removeprefix("  ") for line in told if line.startswith("  ") and "@demo.example" not in line]
    assert sum(line.startswith("curl ") for line in lines) == 6
    script = (
        "\n".join(lines).replace("fhir-server ", " ".join(COMMAND) + " ").replace("curl ", "curl -sS --fail-with-body ")
    )
    done = subprocess.run(
        ["bash", "-eu", "-c", script],
        cwd=folder, env=environment() | {"FHIR_SERVER_DEV": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"prescriptionStatus +shipped", done.stdout)
    assert '"rimoOrderId":"my-order"' in done.stdout
    assert '"value":"my-order"' in done.stdout


def test_the_customers_token_shows_her_own_record_alone(demo):
    address, _, folder = demo
    token = re.search(r"export JANE_TOKEN=(\S+)", (folder / "told").read_text("utf-8"))[1]
    her = {"Authorization": f"Bearer {token}"}
    own = httpx.get(f"{address}/graph/profiles/{SAMPLE_PATIENT}", headers=her)
    assert (own.status_code, own.json()["data"]["firstName"]) == (200, "Jane")
    assert httpx.get(f"{address}/graph/profiles/somebody-else", headers=her).status_code == 403


def run(folder: Path, *arguments: str, variables: dict[str, str] | None = None) -> str:
    own = environment() | {"FHIR_SERVER_DEV": "1"} | (variables or {})
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, env=own, capture_output=True, text=True, timeout=120, check=True
    ).stdout


def test_the_sample_app_is_served_and_may_run_its_own_script_alone(demo):
    address, _, _ = demo
    for path, media_type in {"": "text/html", "launch.html": "text/html", "app.js": "text/javascript"}.items():
        answer = httpx.get(f"{address}/demo-app/{path}")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith(media_type)
        assert "script-src 'self';" in answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert httpx.get(f"{address}/demo-app/pages.py").status_code == 404


def test_the_demos_backend_service_gets_a_token_with_its_key(demo):
    address, _, folder = demo
    asked = ("token", "--client", "demo-backend", "--key", "var/demo-backend.jwk", "--scope", "system/*.rs")
    token = run(folder, *asked, variables={"FHIR_SERVER_BASE_URL": address}).strip()
    answer = httpx.get(f"{address}/fhir/Patient?_summary=count", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run(folder, *asked[:2], "demo-service", *asked[3:], variables={"FHIR_SERVER_BASE_URL": address})
    assert "invalid_client" in refused.value.stderr


def test_the_demos_portal_has_the_secret_that_is_kept(demo):
    address, _, folder = demo
    secret = (folder / "var/demo-portal.secret").read_text()
    form = {"grant_type": "authorization_code", "code": "x" * 43, "code_verifier": "v" * 43, "redirect_uri": "x:"}
    right = httpx.post(f"{address}/oauth/token", data=form, auth=("demo-portal", secret))
    assert (right.status_code, right.json()["error"]) == (400, "invalid_grant")
    wrong = httpx.post(f"{address}/oauth/token", data=form, auth=("demo-portal", secret[::-1]))
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("name", ["demo-portal.secret", "demo-backend.jwk", "demo-rimo.secret", "secret"])
def test_what_the_demo_keeps_is_for_its_owner_alone(demo, name):
    assert (demo[2] / "var" / name).stat().st_mode & 0o077 == 0


def test_the_apps_are_told_another_address_and_another_key(tmp_path):
    assert prepare(tmp_path, free_port()).returncode == 0
    key = tmp_path / "var/demo-backend.jwk"
    before = json.loads(key.read_text())["kid"]
    key.unlink()
    port = free_port()
    assert prepare(tmp_path, port).returncode == 0
    app = json.loads(run(tmp_path, "client", "show", "demo-app", "--json"))
    assert app["redirect_uris"] == [f"http://127.0.0.1:{port}/demo-app/"]
    assert app["launch_uris"] == [f"http://127.0.0.1:{port}/demo-app/launch.html"]
    kids = json.loads(run(tmp_path, "client", "show", "demo-backend", "--json"))["keys"]
    assert kids == [json.loads(key.read_text())["kid"]]
    assert kids != [before]


def test_the_pharmacys_secret_is_kept_and_another_takes_its_place_when_it_is_no_longer_good(tmp_path):
    assert prepare(tmp_path, free_port()).returncode == 0
    kept = tmp_path / "var/demo-rimo.secret"
    first = kept.read_text()
    assert prepare(tmp_path, free_port()).returncode == 0
    assert kept.read_text() == first
    run(tmp_path, "webhook", "rotate", "--hours", "0")
    assert prepare(tmp_path, free_port()).returncode == 0
    second = kept.read_text()
    assert second != first
    run(tmp_path, "webhook", "remove")
    assert prepare(tmp_path, free_port()).returncode == 0
    assert kept.read_text() not in {first, second}


def test_preparing_twice_changes_nothing_and_keeps_what_was_done_since(tmp_path):
    port = free_port()
    assert prepare(tmp_path, port).returncode == 0
    homes = run(tmp_path, "homes", "--json")
    assert "customer_profiles" in homes
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps({"customer_profiles": [{"id": SAMPLE_PATIENT, "lastName": "Married"}]}), "utf-8")
    run(tmp_path, "load", str(changed))
    second = prepare(tmp_path, port)
    assert second.returncode == 0, second.stderr
    assert run(tmp_path, "homes", "--json") == homes
    assert json.loads(run(tmp_path, "load", str(changed), "--json"))["written"] == 0
    assert len(json.loads(run(tmp_path, "user", "list", "--json"))) == len(USERS)


def test_with_json_the_demo_tells_a_token_and_where_to_look(tmp_path):
    facts = json.loads(run(tmp_path, "demo", "--port", str(free_port()), "--prepare-only", "--json"))
    assert facts["access_token"].count(".") == 2
    assert facts["fhir_base"].endswith("/fhir")
    assert facts["sample_app"].endswith("/demo-app/")
    assert set(facts["client_secrets"]) == {"demo-portal"}
    assert facts["graph_base"].endswith("/graph")
    assert facts["webhook_secrets"]["rimo"].startswith("whsec_")
    assert facts["customer_access_token"].count(".") == 2
    assert facts["client_keys"] == {"demo-backend": "var/demo-backend.jwk"}


def test_the_command_it_names_for_other_tokens_can_be_typed_as_it_stands(capsys, monkeypatch):
    address = "http://127.0.0.1:1"
    made = Demonstration(address, f"{address}/fhir", "sqlite:///x", "token", "hers", "whsec_x", "secret", "key")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.argv", [".venv/bin/fhir-server", "demo"])
    tell(made)
    assert " .venv/bin/fhir-server token --scope" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["/somewhere/fhir_server/__main__.py", "demo"])
    tell(made)
    assert " fhir-server token --scope" in capsys.readouterr().out


def test_a_taken_port_is_told_before_anything_happens(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = prepare(tmp_path, taken.getsockname()[1])
    assert done.returncode == 1
    assert "choose another with --port" in done.stderr
    assert list(tmp_path.iterdir()) == []
