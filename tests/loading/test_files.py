"""Files that `fhir-server load` reads: plain, .gz, .zst, NDJSON, folders; and those that it refuses."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import pytest

from fhir_server.loading import loader as loader_module
from fhir_server.loading import sources
from fhir_server.loading.errors import NotLoadable
from fhir_server.loading.sources import find_sources
from storage.errors import DatabaseUnavailable
from tests.loading.conftest import Loading, customer, observation, patient, plan


@pytest.mark.parametrize("packed", ["", ".gz", ".zst"])
@pytest.mark.parametrize("name", ["one.json", "many.ndjson", "many.jsonl"])
async def test_a_file_may_be_packed(loading: Loading, name: str, packed: str):
    content = patient() if name == "one.json" else [patient(), "", "   ", observation()]
    loading.file(name + packed, content)
    summary = await loading.load_twice()
    assert summary.refused == []
    assert summary.written == (1 if name == "one.json" else 2)


async def test_a_packed_file_of_several_frames_is_read_whole(loading: Loading):
    path = loading.file("a.ndjson.gz", [patient("a")])
    path.write_bytes(
        path.read_bytes() + gzip.compress(b"\n") + loading.file("b.ndjson.gz", [patient("b")]).read_bytes()
    )
    zst = loading.file("c.ndjson.zst", [patient("c"), ""])
    zst.write_bytes(zst.read_bytes() + b"" + loading.file("d.ndjson.zst", [patient("d")]).read_bytes())
    await loading.load(path, zst)
    assert set(await loading.versions()) == {"Patient/a", "Patient/b", "Patient/c", "Patient/d"}


@pytest.mark.parametrize("packed", [".gz", ".zst"])
@pytest.mark.parametrize("kind", [".json", ".ndjson"])
async def test_a_file_that_is_cut_off_or_not_packed_is_refused_and_the_rest_goes_on(
    loading: Loading, kind: str, packed: str
):
    cut = loading.file("cut" + kind + packed, [patient(f"p{n}") for n in range(300)])
    cut.write_bytes(cut.read_bytes()[:40])
    plain = loading.folder / ("plain" + kind + packed)
    plain.write_bytes(b'{"resourceType": "Patient"}')
    loading.file("zz.json", patient("good"))
    summary = await loading.load()
    assert "Patient/good" in await loading.versions()
    assert {Path(each.source).name for each in summary.refused} == {cut.name, plain.name}
    assert all(packed in each.reason for each in summary.refused)


async def test_a_bad_line_is_refused_with_its_number_and_the_rest_goes_on(loading: Loading):
    loading.file(
        "p.ndjson",
        [patient("a"), "{nonsense", patient("b", birthDate="1974-02-30"), "[1]", '{"a":1,"a":2}', patient("c")],
    )
    summary = await loading.load_twice()
    assert set(await loading.versions()) == {"Patient/a", "Patient/c"}
    reasons = {each.what.partition(" (")[0]: each.reason for each in summary.refused}
    assert set(reasons) == {"line 2", "line 3", "line 4", "line 5"}
    assert "JSON" in reasons["line 2"]
    assert "Patient.birthDate" in reasons["line 3"]
    assert "no resource" in reasons["line 4"]
    assert "more than once" in reasons["line 5"]


async def test_a_resource_without_id_gets_the_same_one_every_time(loading: Loading):
    loading.file("p.ndjson", ['{"resourceType":"Patient","gender":"female"}'])
    loading.file("q.json", '{"gender":"female", "resourceType":"Patient"}')
    await loading.load_twice()
    assert len(await loading.versions()) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff\xfe", "UTF-8"),
        (b"[]", "neither a resource nor tables"),
        (b"7", "neither a resource nor tables"),
        (b'{"resourceType":"Patient","id":"\\ud800"}', "surrogate"),
        (b'{"resourceType":"Bundle","type":"dragon"}', "Bundle.type"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "more than 64"),
    ],
)
async def test_a_file_that_is_no_json_of_ours_is_refused(loading: Loading, content: bytes, reason: str):
    loading.file("x.json", content)
    loading.file("y.json", patient())
    summary = await loading.load()
    assert set(await loading.versions()) == {"Patient/p1"}
    (refused,) = summary.refused
    assert reason in refused.reason


async def test_a_refusal_quotes_no_value(loading: Loading):
    loading.file("x.ndjson", [patient(birthDate="secret-day", gender="secret-gender"), '{"secret-key": '])
    assert "secret" not in str((await loading.load()).refused)


async def test_many_faults_are_told_in_few_words(loading: Loading):
    loading.file("x.json", patient(telecom=[{"system": "pigeon"}] * 50))
    (refused,) = (await loading.load()).refused
    assert refused.reason.endswith("and 45 more")


async def test_documents_have_a_largest_size_and_lines_too(loading: Loading, monkeypatch):
    monkeypatch.setattr(sources, "MAX_DOCUMENT_BYTES", 1000)
    loading.file("x.json.gz", patient("x", name=[{"text": "x" * 2000}]))
    loading.file("y.ndjson.zst", [patient("y", name=[{"text": "x" * 2000}])])
    loading.file("z.json", patient("z"))
    summary = await loading.load()
    assert set(await loading.versions()) == {"Patient/z"}
    assert all("larger" in each.reason for each in summary.refused)


async def test_lines_are_written_in_batches_and_progress_is_told(loading: Loading, monkeypatch):
    monkeypatch.setattr(loader_module, "BATCH", 2)
    path = loading.file("p.ndjson", [patient(f"p{n}") for n in range(5)])
    assert (await loading.load()).written == 5
    assert sum(count for count, _ in loading.told) == 5
    assert sum(read for _, read in loading.told) == path.stat().st_size


async def test_where_one_resource_of_a_batch_is_refused_by_the_store_the_others_are_written(loading: Loading):
    loading.store.enforce_references = True
    loading.file("p.ndjson", [patient(), observation("lost", "Patient/nobody"), observation()])
    summary = await loading.load_twice()
    assert set(await loading.versions()) == {"Patient/p1", "Observation/o1"}
    (refused,) = summary.refused
    assert refused.what == "line 2 (Observation/lost)"
    assert "Observation.subject.reference" in refused.reason


def test_patients_come_before_what_refers_to_them(tmp_path: Path):
    for name in ("Claim.ndjson", "Observation.ndjson", "Patient.000.ndjson", "_hospitals.json", "Practitioner.ndjson"):
        (tmp_path / name).touch()
    (tmp_path / "index.ndjson").touch()
    (tmp_path / "README.md").touch()
    names = [source.path.name for source in find_sources([tmp_path])]
    assert names == [
        "_hospitals.json",
        "Practitioner.ndjson",
        "Patient.000.ndjson",
        "Claim.ndjson",
        "Observation.ndjson",
    ]


async def test_resources_of_a_customer_find_their_table_whatever_the_names_of_the_files(loading: Loading):
    loading.file("CarePlan.ndjson", [plan()])
    loading.file("Patient.ndjson", [customer()])
    await loading.load_twice()
    assert await loading.homes() == {"Patient/p1": "customer_profiles", "CarePlan/cp1": "protocols"}


def test_a_file_named_twice_is_loaded_once(tmp_path: Path):
    (tmp_path / "a.json").touch()
    assert len(find_sources([tmp_path, tmp_path / "a.json"])) == 1


def test_a_path_that_names_nothing_is_told(tmp_path: Path):
    with pytest.raises(NotLoadable, match="no file"):
        find_sources([tmp_path / "gone.json"])
    (tmp_path / "a.csv").touch()
    with pytest.raises(NotLoadable, match=r"no \.json"):
        find_sources([tmp_path / "a.csv"])


async def test_what_is_loaded_is_on_record_in_the_same_transaction(loading: Loading):
    loading.file("p.ndjson", [patient(), observation()])
    await loading.load_twice()
    rows = await loading.sql(
        "SELECT resource, action, interaction, customer_id, count, actor_id FROM rbac_logs ORDER BY resource"
    )
    assert rows == [
        ("Observation", "write", "load", "p1", 1, "operator"),
        ("Patient", "write", "load", "p1", 1, "operator"),
    ]


async def test_two_loads_of_the_same_at_a_time_both_end_well(loading: Loading):
    everything = [patient(f"p{n}") for n in range(40)] + [observation(f"o{n}", f"Patient/p{n}") for n in range(40)]
    one = loading.file("a.ndjson", everything)
    other = loading.file("b.ndjson", list(reversed(everything)))
    first, second = await asyncio.gather(loading.load(one), loading.load(other))
    assert (first.refused, second.refused) == ([], [])
    assert set((await loading.versions()).values()) == {1}


async def test_when_the_database_goes_away_loading_stops_with_that_and_nothing_else(loading: Loading, monkeypatch):
    for n in range(5):
        loading.file(f"{n}.json", patient(f"p{n}"))

    async def away(*_arguments: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(loading.store, "write", away)
    with pytest.raises(DatabaseUnavailable):
        await loading.load()
    monkeypatch.undo()
    assert (await loading.load()).written == 5
