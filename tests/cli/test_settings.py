"""Settings (security KY-3; design 'Addresses and commands')."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_server.settings import Settings, SettingsInvalid, load_settings, settings_markdown

LONG = "a secret of more than thirty-two bytes"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    import os

    for name in list(os.environ):
        if name.startswith("FHIR_SERVER_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)


def test_the_page_in_docs_is_the_one_that_is_generated():
    page = Path(__file__).parents[2] / "docs/settings.md"
    assert page.read_text("utf-8") == settings_markdown(), "run `fhir-server settings --markdown > docs/settings.md`"


def test_every_setting_is_documented():
    assert all(field.description for field in Settings.model_fields.values())


def test_every_setting_is_used():
    sources = [path.read_text("utf-8") for path in (Path(__file__).parents[2] / "fhir_server").rglob("*.py")]
    unused = [name for name in Settings.model_fields if sum(text.count(f".{name}") for text in sources) == 0]
    assert unused == []


def test_the_database_is_named_by_DATABASE_URL(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", "sqlite:///elsewhere.sqlite")
    assert load_settings().database_url == "sqlite:///elsewhere.sqlite"


def test_settings_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        load_settings().port = 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FHIR_SERVER_SECRET", "short"),
        ("FHIR_SERVER_ACCESS_TOKEN_TTL", "3601"),
        ("FHIR_SERVER_BASE_URL", "host.example/fhir"),
        ("FHIR_SERVER_PORT", "many"),
        ("FHIR_SERVER_REFERENCES", "guess"),
        ("FHIR_SERVER_LOG_LEVEL", "loud"),
        ("FHIR_SERVER_CORS_ORIGINS", "https://app.example/path"),
        ("FHIR_SERVER_TIME_ZONE", "Mars/Olympus"),
        ("FHIR_SERVER_TIME_ZONE", "../etc/passwd"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_without_its_value(monkeypatch, name: str, value: str):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid, match=name) as caught:
        load_settings()
    assert value not in str(caught.value).replace("short ", "")


def test_security_KY3_secrets_do_not_show():
    settings = load_settings(secret=LONG, database_url="postgresql://u:hidden@h/d")
    assert LONG not in repr(settings)
    assert "hidden" not in repr(settings)


def test_security_KY3_development_stays_on_loopback():
    with pytest.raises(SettingsInvalid, match="loopback"):
        load_settings(dev=True, host="0.0.0.0")


def test_security_KY3_without_development_a_missing_secret_is_told():
    with pytest.raises(SettingsInvalid, match="FHIR_SERVER_SECRET"):
        _ = load_settings().secret_bytes


def test_a_secret_is_read_from_a_mounted_file(tmp_path: Path):
    (tmp_path / "mounted").write_text(LONG + "\n")
    assert load_settings(secret_file=tmp_path / "mounted").secret_bytes == LONG.encode()
    (tmp_path / "mounted").write_text("short")
    with pytest.raises(SettingsInvalid, match="32"):
        _ = load_settings(secret_file=tmp_path / "mounted").secret_bytes


def test_development_makes_a_secret_once(tmp_path: Path):
    made = load_settings(dev=True).secret_bytes
    assert len(made) >= 32
    assert load_settings(dev=True).secret_bytes == made
    assert [each.name for each in (tmp_path / "var").iterdir()] == ["secret"]


def test_every_purpose_has_a_key_of_its_own():
    settings = load_settings(secret=LONG)
    assert settings.derive("audit") != settings.derive("cursors")
    assert len(settings.derive("audit")) == 32
    assert load_settings(secret=LONG + "!").derive("audit") != settings.derive("audit")


def test_origins_are_separated_by_spaces(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FHIR_SERVER_CORS_ORIGINS", "https://a.example http://localhost:3000")
    assert load_settings().cors_origins == ("https://a.example", "http://localhost:3000")


def test_the_fhir_base_is_under_the_public_address():
    assert load_settings(base_url="https://host.example/").fhir_base == "https://host.example/fhir"


def test_the_sample_app_is_for_development_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FHIR_SERVER_DEMO_APP", "1")
    with pytest.raises(SettingsInvalid, match="demo_app is for development"):
        load_settings()
    monkeypatch.setenv("FHIR_SERVER_DEV", "1")
    assert load_settings().demo_app
