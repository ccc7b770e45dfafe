"""A browser, the server with the demonstration's people and records, and an app of somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fhir_server.cli.demonstration import furnish
from fhir_server.cli.installation import Act, open_installation
from fhir_server.cli.users import NewUser, add_user
from fhir_server.demo.cast import PASSWORD
from fhir_server.settings import Settings
from storage.repositories.platform import ClientRepository
from tests.browser.app_server import running_app
from tests.browser.cast import apps_of
from tests.browser.chromium import Browser, start
from tests.browser.people import EVERYWHERE
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.site import Site, running_site


@pytest.fixture(scope="session")
def app() -> Iterator[str]:
    """The origin of the app."""
    with running_app() as origin:
        yield origin


@pytest.fixture(scope="module")
def site(database_url: str, app: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The server with the demonstration's records and people, which knows the app."""
    folder = tmp_path_factory.mktemp("var")

    def prepare(settings: Settings) -> None:
        asyncio.run(_prepare(settings, app))

    more = {"dev": True, "demo_app": True, "secret_file": folder / "secret", "site_name": "Harbour Health"}
    with running_site(database_url, prepare, **more) as made:
        yield made


async def _prepare(settings: Settings, app: str) -> None:
    await furnish(settings)
    async with open_installation(settings) as installation:
        act = Act("clients", "write", "create")
        async with installation.acting(settings.organization, act) as unit:
            for client in apps_of(app, settings):
                await ClientRepository(unit.connection).insert(client)
        for organization in (ORGANIZATION, OTHER_ORGANIZATION):
            await add_user(installation, NewUser(EVERYWHERE, PASSWORD, "CLINICIAN", organization))


@pytest.fixture(scope="session")
def browsers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[bool], Browser]]:
    """Browsers of this session, one that runs scripts and one that runs none, started when first asked for."""
    started: dict[bool, Browser] = {}

    def give(scripts: bool) -> Browser:
        if scripts not in started:
            profile: Path = tmp_path_factory.mktemp("profile")
            started[scripts] = Browser(start(profile, scripts=scripts))
        return started[scripts]

    yield give
    for each in started.values():
        each.driver.quit()


@pytest.fixture
def browser(browsers: Callable[[bool], Browser]) -> Browser:
    """A browser that runs scripts, for apps; nobody is signed in."""
    return _fresh(browsers(True))


@pytest.fixture
def plain(browsers: Callable[[bool], Browser]) -> Browser:
    """A browser that runs no scripts; nobody is signed in."""
    return _fresh(browsers(False))


def _fresh(browser: Browser) -> Browser:
    """Give a new tab, with which what apps kept goes, and no cookies."""
    driver = browser.driver
    old = driver.current_window_handle
    driver.switch_to.new_window("tab")
    new = driver.current_window_handle
    driver.switch_to.window(old)
    driver.close()
    driver.switch_to.window(new)
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    browser.complaints()
    return browser
