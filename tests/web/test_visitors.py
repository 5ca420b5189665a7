"""How much one network may post, and who is believed to say which network it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from httpx2 import Client as Http

from newsletter.cli.serve import free_port, make_server
from newsletter.database.session import Database
from newsletter.errors import SettingsFaults
from newsletter.public.visitors import network_of
from newsletter.settings import read_settings
from tests.factories import KEY
from tests.node import ROOT

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("203.0.113.9", "203.0.113.0/24"),
        ("203.0.113.250", "203.0.113.0/24"),
        ("2001:db8:1:2:9::1", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("unix", "unknown"),
        ("", "unknown"),
        ("203.0.113.9\r\nX: y", "unknown"),
    ],
)
def test_a_network_is_what_one_house_has(host: str, network: str) -> None:
    assert network_of(host) == network


@contextmanager
def serving(database: Database, **machine: str) -> Iterator[Http]:
    """The web as `newsletter web` runs it, and somebody on this machine who asks it."""
    keys = {"SECRET_KEY": KEY * 2, "SUPPRESSION_KEY": KEY}
    settings = read_settings(ROOT, {f"NEWSLETTER_{name}": value for name, value in {**keys, **machine}.items()})
    port = free_port()
    server = make_server(settings, database, "127.0.0.1", port)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    with Http(base_url=f"http://127.0.0.1:{port}") as http:
        yield http
    server.should_exit = True
    thread.join()


def statuses(http: Http, forwarded: str, times: int) -> list[int]:
    headers = {"X-Forwarded-For": forwarded}
    return [http.post("/confirm/nonsense", headers=headers).status_code for _ in range(times)]


@on_sqlite
def test_a_proxy_on_this_machine_says_for_whom_it_asks_and_a_visitor_cannot(database: Database) -> None:
    with serving(database) as http:
        assert statuses(http, "203.0.113.9", 61) == [404] * 60 + [429]
        # What a visitor wrote before the proxy did is not believed.
        assert statuses(http, "198.51.100.1, 203.0.113.7", 1) == [429]
        assert statuses(http, "198.51.100.1", 1) == [404]


@on_sqlite
def test_who_is_not_trusted_cannot_speak_for_others(database: Database) -> None:
    with serving(database, TRUSTED_PROXIES="192.0.2.1") as http:
        assert set(statuses(http, "203.0.113.9", 61)) == {404}


@pytest.mark.parametrize(
    ("name", "value"),
    [("TRUSTED_PROXIES", "proxy.example.org"), ("TRUSTED_PROXIES", "10.0.0.1/8"), ("FORM_ORIGINS", "example.org")],
)
def test_a_setting_that_names_nobody_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsFaults, match=name):
        read_settings(ROOT, {f"NEWSLETTER_{name}": value})


def test_several_proxies_and_sites_may_be_named() -> None:
    given = {"TRUSTED_PROXIES": "10.0.0.7, 192.168.0.0/16 ,::1", "FORM_ORIGINS": "https://www.example.org/, "}
    machine = read_settings(ROOT, {f"NEWSLETTER_{name}": value for name, value in given.items()}).machine
    assert machine.trusted_proxies == "10.0.0.7,192.168.0.0/16,::1"
    assert machine.form_origins == "https://www.example.org"
