"""Passwords are hashed in threads of their own, with a short queue (security AU-1, AU-2)."""

from __future__ import annotations

import asyncio
import threading
import unicodedata
from collections.abc import Callable

import bcrypt
import pytest

from fhir_server.oauth import passwords
from fhir_server.oauth.errors import TooManyAttempts
from fhir_server.oauth.password_pool import QUEUE, PasswordPool, hasher_of
from fhir_server.oauth.passwords import (
    FLOOR,
    HASHER,
    PasswordRefused,
    hash_password,
    is_weaker,
    unknown_hash,
    verify_password,
)
from fhir_server.settings import Settings

PASSWORD = "correct horse battery 42"


async def test_security_AU1_hashing_is_never_on_the_event_loop_and_at_most_so_many_at_once(monkeypatch):
    running, most, threads = 0, 0, set()
    lock = threading.Lock()
    verify = passwords.verify_password

    def counted(hashed: str, password: str) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            threads.add(threading.current_thread())
        fits = verify(hashed, password)
        with lock:
            running -= 1
        return fits

    monkeypatch.setattr(passwords, "verify_password", counted)
    pool = PasswordPool(FLOOR, threads=2)
    hashed = await pool.hash(PASSWORD, owner="pat@example.org")
    assert all(await asyncio.gather(*(pool.verify(hashed, PASSWORD) for _ in range(8))))
    assert most <= 2
    assert threading.main_thread() not in threads
    pool.close()


async def test_security_AU1_whoever_finds_the_queue_full_is_turned_away(monkeypatch):
    free = threading.Event()
    monkeypatch.setattr(passwords, "verify_password", lambda *_: free.wait(30))
    pool = PasswordPool(FLOOR, threads=1)
    waiting = [asyncio.create_task(pool.verify("hash", PASSWORD)) for _ in range(1 + QUEUE)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyAttempts) as refused:
        await pool.verify("hash", PASSWORD)
    assert refused.value.headers == {"Retry-After": "5"}
    with pytest.raises(TooManyAttempts):
        pool.require_room()
    free.set()
    assert all(await asyncio.gather(*waiting))
    pool.require_room()
    pool.close()


async def test_security_AU2_for_somebody_without_a_password_the_same_work_is_done(monkeypatch):
    seen = []
    verify = passwords.verify_password
    monkeypatch.setattr(
        passwords, "verify_password", lambda hashed, password: seen.append(hashed) or verify(hashed, password)
    )
    pool = PasswordPool(FLOOR)
    assert not await pool.verify(None, PASSWORD)
    (hashed,) = seen
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert not is_weaker(hashed, FLOOR)
    pool.close()


@pytest.mark.parametrize("hasher", [FLOOR, HASHER], ids=["floor", "strong"])
def test_security_AU2_a_hash_that_nothing_fits_costs_what_others_cost(hasher):
    made, real = unknown_hash(hasher), hash_password(PASSWORD, hasher=hasher)
    assert len(made) == len(real)
    assert made.rpartition("$")[0].rpartition("$")[0] == real.rpartition("$")[0].rpartition("$")[0]
    assert not verify_password(made, PASSWORD)
    assert made != unknown_hash(hasher)


def test_security_AU1_hashes_are_made_anew_when_the_cost_rises_and_not_when_it_falls():
    floor, strong = hash_password(PASSWORD, hasher=FLOOR), hash_password(PASSWORD, hasher=HASHER)
    assert is_weaker(floor, HASHER)
    assert not is_weaker(floor, FLOOR)
    assert not is_weaker(strong, FLOOR)
    assert is_weaker("$2b$04$abc", FLOOR)
    assert is_weaker("nonsense", FLOOR)


async def test_security_AU1_a_weak_hash_is_replaced_by_a_strong_one(monkeypatch):
    pool = PasswordPool(HASHER)
    made = await pool.hash_again(hash_password(PASSWORD, hasher=FLOOR), PASSWORD)
    assert made is not None
    assert made.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await pool.verify(made, PASSWORD)
    assert await pool.hash_again(made, PASSWORD) is None
    pool.close()


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_settled_4_5_an_imported_bcrypt_hash_verifies(prefix: str):
    hashed = prefix + bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode()[4:]
    assert verify_password(hashed, "correct horse")
    assert not verify_password(hashed, "correct horse ")
    assert not verify_password(hashed, "correct horse\0")
    assert not verify_password(hashed, "\ud800")
    assert not verify_password(prefix + "nonsense", "correct horse")


def test_security_AU1_passwords_are_the_same_however_their_letters_are_composed():
    hashed = hash_password("Gru\u0308\u00dfe aus Wien", hasher=FLOOR)
    assert verify_password(hashed, "Gr\u00fc\u00dfe aus Wien")


async def test_security_AU1_a_new_password_that_is_refused_says_why():
    pool = PasswordPool(FLOOR)
    with pytest.raises(PasswordRefused, match="12 to 128"):
        await pool.hash("short", owner="pat@example.org")
    pool.close()


def test_the_setting_chooses_the_cost():
    assert hasher_of(Settings()) is HASHER
    assert hasher_of(Settings(password_hashing="floor")) is FLOOR


def test_security_IN7_what_is_longer_than_any_password_is_not_normalised_and_fits_none(monkeypatch: pytest.MonkeyPatch):
    composed = passwords.hash_password("e\u0301tonnante lanterne", hasher=passwords.FLOOR)
    assert passwords.verify_password(composed, "\u00e9tonnante lanterne")
    accents = "a" + "\u0300" * 5000 + "\u0316" * 5000  # whose order takes their number squared to find
    monkeypatch.setattr(passwords.unicodedata, "normalize", _of_few)
    assert not passwords.verify_password(composed, accents)
    with pytest.raises(passwords.PasswordRefused):
        passwords.hash_password(accents, hasher=passwords.FLOOR)


def _of_few(form: str, text: str, normalize: Callable[[str, str], str] = unicodedata.normalize) -> str:
    assert len(text) <= passwords.LONGEST_TYPED
    return normalize(form, text)
