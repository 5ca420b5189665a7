"""`doctor` says of each thing how it stands and what to do, also where nothing answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from newsletter.cli.main import main
from newsletter.cli.serve import free_port
from newsletter.clock import SystemClock
from newsletter.database.heartbeat import BACKUP_PART, SCHEDULER_PART, record_heartbeat
from newsletter.database.session import Database
from newsletter.operations.dns import check_inbound
from newsletter.operations.doctor import check_account, check_base_url, check_keys, check_sendgrid, check_smtp, examine
from newsletter.operations.model import Check, State
from newsletter.settings import Settings, read_settings
from tests.factories import NOON
from tests.operations.name_server import answering, resolver_at
from tests.provider_events.posting import post
from tests.providers.sendgrid.test_signature import PUBLIC_KEY
from tests.providers.smtp.running import PASSWORD, USER, running_smtp

GOOD = {
    ("clinic.example.org", "TXT"): ['"v=spf1 include:sendgrid.example.org ~all"'],
    ("_dmarc.example.org", "TXT"): ['"v=DMARC1; p=none"'],
    ("s1._domainkey.clinic.example.org", "CNAME"): ["s1.domainkey.example.org."],
    ("clinic.example.org", "MX"): ["10 mail.example.org."],
}
KEYS = {"NEWSLETTER_SECRET_KEY": "s" * 40, "NEWSLETTER_SUPPRESSION_KEY": "t" * 40}


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


@contextmanager
def a_sendgrid(status: int, scopes: list[str], date: str | None = None) -> Iterator[str]:
    """Something that answers what a key may do; gives its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            self.send_header("Date", date or self.date_time_string())
            self.end_headers()
            self.wfile.write(json.dumps({"scopes": scopes}).encode())

        def log_message(self, format: str, *words: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        running = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        running.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            running.join()


def sending_to(workspace: Path, host: str, **more: str) -> Settings:
    named = {"TRANSPORT": "sendgrid", "SENDGRID_API_KEY": "SG.x", "SENDGRID_HOST": host, **more}
    return read_settings(workspace, {**KEYS, **{f"NEWSLETTER_{name}": value for name, value in named.items()}})


def test_all_that_can_be_well_is_said_to_be(database: Database, workspace: Path) -> None:
    now = SystemClock().now()
    with database.write() as session:
        record_heartbeat(session, part=SCHEDULER_PART, worker="w", now=now)
        record_heartbeat(session, part=BACKUP_PART, worker="w", now=now)
    with answering(GOOD) as resolver, a_sendgrid(200, ["mail.send"]) as host:
        settings = sending_to(workspace, host, SENDGRID_WEBHOOK_PUBLIC_KEY=PUBLIC_KEY)
        checks = by_name(examine(settings, database, resolver, SystemClock().now()))
    # Only the web is not there, and no night has come yet in which the lists are read.
    amiss = {name for name, check in checks.items() if check.state is not State.OK}
    assert amiss <= {"BASE_URL", "disk", "suppression lists"}
    assert checks["DMARC"].told == "v=DMARC1; p=none"
    assert checks["DKIM"].told == "selector s1 of clinic.example.org"


def test_what_is_amiss_comes_with_what_to_do(database: Database, workspace: Path) -> None:
    with answering({}) as resolver, a_sendgrid(200, ["stats.read"], "Tue, 03 Nov 2020 09:00:00 GMT") as host:
        checks = by_name(examine(sending_to(workspace, host), database, resolver, SystemClock().now()))
    assert {n for n, c in checks.items() if c.state is State.STOP} == {"scheduler", "SendGrid", "this machine's clock"}
    for name in (
        "scheduler",
        "SendGrid",
        "this machine's clock",
        "SPF",
        "DMARC",
        "DKIM",
        "replies",
        "webhook",
        "backup",
    ):
        assert checks[name].remedy, name


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_a_network_it_says_that_it_could_not_ask(database: Database, workspace: Path) -> None:
    settings = sending_to(workspace, f"http://127.0.0.1:{free_port()}")
    checks = by_name(examine(settings, database, resolver_at(free_port()), SystemClock().now()))
    assert checks["DNS"].told == "could not ask about clinic.example.org"
    assert checks["replies"].told.startswith("could not ask")
    assert checks["SendGrid"].told.startswith("could not ask")
    assert all(checks[name].state is State.WARN for name in ("DNS", "replies", "SendGrid"))


def test_a_key_that_sendgrid_refuses_stops_sending(workspace: Path) -> None:
    with a_sendgrid(401, []) as host:
        checks = by_name(check_sendgrid(sending_to(workspace, host), SystemClock().now()))
    assert checks["SendGrid"].state is State.STOP


def test_the_mail_server_is_tried_without_a_mail(workspace: Path, tmp_path: Path) -> None:
    def with_server(url: str, transport: str = "smtp") -> Check:
        return check_smtp(
            read_settings(workspace, {**KEYS, "NEWSLETTER_TRANSPORT": transport, "NEWSLETTER_SMTP_URL": url})
        )

    user = quote(USER, safe="")
    with running_smtp(tmp_path / "smtp", auth_require_tls=False) as server:
        good = with_server(f"smtp://localhost:{server.port}")
        logged_in = with_server(f"smtp://{user}:{quote(PASSWORD, safe='')}@localhost:{server.port}")
        wrong = with_server(f"smtp://{user}:another@localhost:{server.port}")
        beside = with_server(f"smtp://{user}:another@localhost:{server.port}", "sendgrid")
    assert (good.state, good.told) == (State.OK, "localhost answers without TLS")
    assert (logged_in.state, logged_in.told) == (State.OK, "localhost answers without TLS, logged in")
    assert (wrong.state, beside.state) == (State.STOP, State.WARN)
    assert "another" not in wrong.told + wrong.remedy
    gone = with_server(f"smtp://localhost:{free_port()}")
    assert (gone.state, gone.told) == (State.STOP, "the mail server cannot be reached: Connection refused")
    assert with_server("").told == "SMTP_URL is not set"


def test_keys_that_others_may_read_and_links_to_nowhere_are_told(workspace: Path) -> None:
    (workspace / ".env").chmod(0o644)
    settings = sending_to(workspace, "https://api.sendgrid.com")
    assert check_keys(settings).state is State.WARN
    assert check_base_url(settings).state is State.STOP


def test_the_command_tells_a_line_for_each_and_exits_1_when_sending_cannot_work(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEWSLETTER_WORKSPACE", str(workspace))
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert ended.value.code == 1
    told = capsys.readouterr()
    assert "stop  database: it lacks" in told.out
    assert "      Run: newsletter database upgrade" in told.out
    assert "Sending cannot work like this: database" in told.err
    with pytest.raises(SystemExit):
        main(["doctor", "--json"])
    assert json.loads(capsys.readouterr().out.partition("\n}\n")[0] + "}")["may_send"] is False


@pytest.mark.parametrize(
    ("records", "state", "told"),
    [
        (["10 mx.sendgrid.net."], State.OK, "mails to inbound.example.org go to SendGrid"),
        (["10 mx.sendgrid.net.", "20 mail.example.org."], State.STOP, "go to mail.example.org, mx.sendgrid.net"),
        ([], State.STOP, "takes no mail"),
    ],
)
def test_the_address_for_leaving_by_mail_is_one_that_sendgrid_takes(
    records: list[str], state: State, told: str
) -> None:
    with answering({("inbound.example.org", "MX"): records}) as resolver:
        check = check_inbound("inbound.example.org", resolver)
    assert check.state is state
    assert told in check.told
    assert bool(check.remedy) is (state is State.STOP)


def test_what_sendgrid_tells_of_the_account_is_passed_on(database: Database, workspace: Path) -> None:
    post(database, {"event": "account_status_change", "timestamp": int(NOON.timestamp()), "type": "warned"})
    settings = sending_to(workspace, "https://sendgrid.invalid")
    with database.read() as session:
        (told,) = check_account(session, settings, NOON)
        assert check_account(session, settings, NOON + timedelta(days=31)) == []
    assert told.state is State.WARN
    assert told.told == "SendGrid told on Tue 3 Nov 2026, 12:00 (Europe/London): warned"
    later = {"event": "account_status_change", "timestamp": int(NOON.timestamp()) + 60, "type": "compliance_reactivate"}
    post(database, later)
    with database.read() as session:
        assert [check.state for check in check_account(session, settings, NOON)] == [State.OK]
