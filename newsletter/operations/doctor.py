"""Looks at everything that a send needs, and says of each what to do where it is not as it should be."""

from __future__ import annotations

import http.client
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from dns.resolver import Resolver
from sqlalchemy.orm import Session

from newsletter.addresses import Security, is_loopback, objection_to_base_url, read_smtp_url
from newsletter.campaigns.catalogue import list_campaigns
from newsletter.clock import SystemClock, in_clinic_time
from newsletter.database.session import Database
from newsletter.errors import NewsletterError
from newsletter.operations.dns import check_inbound, check_replies, check_sender_domain
from newsletter.operations.health import check_backup, check_readiness
from newsletter.operations.model import Check, State
from newsletter.provider_events.queries import list_account_events
from newsletter.providers.connections import http_connection
from newsletter.providers.sendgrid.account import MAIL_SEND, KeyAnswer, ask_about_key
from newsletter.providers.smtp.transport import SmtpTransport
from newsletter.rendering.brand import read_brand
from newsletter.settings import Settings
from newsletter.subscribers.topics import read_topics
from newsletter.suppression_lists.queries import get_standing
from newsletter.wiring import make_tokens, suppression_key

TIMEOUT = 5.0
LISTS_READ_WITHIN = timedelta(days=2)
"""SendGrid's lists are read every night; one that failed is tried again the whole day."""
ACCOUNT_EVENTS_SHOWN = timedelta(days=30)
_MEGABYTE = 1_000_000
_CLOCK_OFF, _CLOCK_WRONG = timedelta(seconds=30), timedelta(minutes=5)


def examine(settings: Settings, database: Database, resolver: Resolver, now: datetime) -> list[Check]:
    """Every check, in the order in which one would look; nothing is changed, and what cannot be asked is said so."""
    checks = [check_files(settings), check_keys(settings), *check_readiness(database, settings, now)]
    if all(check.state is not State.STOP for check in checks if check.name == "database"):
        with database.read() as session:
            checks.append(check_backup(session, now))
            if settings.machine.transport == "sendgrid":
                checks += [check_lists(session, now), *check_account(session, settings, now)]
    checks += [check_disk(settings.workspace), check_time_zone(settings, now), check_base_url(settings)]
    by_sendgrid = settings.machine.transport == "sendgrid"
    if by_sendgrid:
        checks += check_sendgrid(settings, now)
    if settings.machine.transport == "smtp" or settings.machine.smtp_url.get_secret_value():
        checks.append(check_smtp(settings))
    if settings.machine.transport != "mailbox":
        checks += check_sender_domain(_domain(settings.sender.address), resolver, by_sendgrid=by_sendgrid)
        checks.append(check_replies(_domain(settings.sender.reply_to), resolver))
    if settings.machine.inbound_address:
        checks.append(check_inbound(_domain(settings.machine.inbound_address), resolver))
    return checks


def check_files(settings: Settings) -> Check:
    """Whether the workspace's own files can be read."""
    try:
        read_brand(settings.workspace)
        read_topics(settings.workspace)
        months = len(list_campaigns(settings.workspace))
    except NewsletterError as error:
        return Check("workspace", State.STOP, str(error), "Mend the file.")
    return Check("workspace", State.OK, f"{settings.workspace}, {months} months")


def check_keys(settings: Settings) -> Check:
    """Whether the keys are set, and nobody else on this machine may read them."""
    try:
        make_tokens(settings)
        suppression_key(settings)
    except NewsletterError as error:
        return Check("keys", State.STOP, str(error))
    file = settings.workspace / ".env"
    if file.exists() and file.stat().st_mode & 0o077:
        return Check("keys", State.WARN, "others on this machine may read .env", f"Run: chmod 600 {file}")
    return Check("keys", State.OK, "set")


def check_disk(workspace: Path) -> Check:
    """Whether there is room for rows, pictures and backups."""
    free = shutil.disk_usage(workspace).free // _MEGABYTE
    state = State.STOP if free < 100 else State.WARN if free < 1_000 else State.OK
    return Check("disk", state, f"{free} MB free", "" if state is State.OK else "Make room.")


def check_time_zone(settings: Settings, now: datetime) -> Check:
    """What time it is at the clinic, for a person to compare."""
    return Check("time zone", State.OK, f"at the clinic it is {in_clinic_time(now, settings.clinic.zone)}")


def check_base_url(settings: Settings) -> Check:
    """Whether links in mails lead here, over https."""
    url = settings.machine.base_url
    real = settings.machine.transport != "mailbox" and not _to_double(settings)
    if real and (objection := objection_to_base_url(url)):
        return Check("BASE_URL", State.STOP, f"{url}: {objection}")
    connection = http_connection(url, TIMEOUT)
    remedy = "Start the web (newsletter serve, or newsletter web), and look at the proxy before it."
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        ours = answer.status == 200 and answer.read(10) == b"ok\n"
    except (OSError, http.client.HTTPException) as error:
        return Check("BASE_URL", State.WARN, f"{url} does not answer here ({type(error).__name__})", remedy)
    finally:
        connection.close()
    if not ours:
        return Check("BASE_URL", State.WARN, f"something else than the newsletter answers at {url}", remedy)
    return Check("BASE_URL", State.OK, f"{url} answers")


def check_sendgrid(settings: Settings, now: datetime) -> list[Check]:
    """Whether SendGrid takes the key, and tells of deliveries in a way that can be verified."""
    machine = settings.machine
    key = machine.sendgrid_api_key.get_secret_value()
    if not key:
        remedy = "Put the account's key into .env as NEWSLETTER_SENDGRID_API_KEY."
        return [Check("SendGrid", State.STOP, "SENDGRID_API_KEY is not set", remedy)]
    try:
        answer = ask_about_key(key, machine.sendgrid_host)
    except OSError as error:
        told = f"could not ask {machine.sendgrid_host} ({type(error).__name__})"
        checks = [Check("SendGrid", State.WARN, told, "Look at the network of this machine.")]
    else:
        checks = [_judge_key(answer), *_judge_clock(answer, now)]
    if machine.sendgrid_webhook_public_key:
        return [*checks, Check("webhook", State.OK, "its public key is set")]
    remedy = "In SendGrid: Settings, Mail Settings, Signed Event Webhook; copy its key into .env."
    told = "SENDGRID_WEBHOOK_PUBLIC_KEY is not set: nothing is heard of deliveries"
    return [*checks, Check("webhook", State.WARN, told, remedy)]


def check_lists(session: Session, now: datetime) -> Check:
    """Whether SendGrid's suppression lists were read within two nights, and whether it knows who has left here."""
    name, standing = "suppression lists", get_standing(session)
    trouble = next((one.trouble for one in standing.lists if one.trouble), standing.waiting_because)
    waiting = f"; {standing.waiting} people wait to be told to SendGrid" if standing.waiting else ""
    remedy = f"{trouble} Try now: newsletter subscribers sync".lstrip()
    if standing.last_whole is None:
        return Check(name, State.WARN, f"not all of them were read yet{waiting}", remedy)
    told = f"read up to {(now - standing.last_whole) / timedelta(hours=1):.0f} hours ago{waiting}"
    late = now - standing.last_whole > LISTS_READ_WITHIN
    return Check(name, State.WARN if late or standing.waiting_because else State.OK, told, remedy)


def check_account(session: Session, settings: Settings, now: datetime) -> list[Check]:
    """What SendGrid told lately of the account itself, such as a warning or that it was suspended."""
    told = list_account_events(session, now - ACCOUNT_EVENTS_SHOWN)
    if not told:
        return []
    when = in_clinic_time(told[0].at, settings.clinic.zone)
    said = f"SendGrid told on {when}: {told[0].reason or 'its status has changed'}"
    if "reactivate" in told[0].reason:
        return [Check("SendGrid account", State.OK, said)]
    return [Check("SendGrid account", State.WARN, said, "Log in to SendGrid, and see what it asks for.")]


def check_smtp(settings: Settings) -> Check:
    """Whether the mail server can be reached, as safely as is asked for, and takes our log-in; no mail is sent."""
    url = settings.machine.smtp_url.get_secret_value()
    # Beside SendGrid only notices to staff go by it.
    state = State.STOP if settings.machine.transport == "smtp" else State.WARN
    if not url:
        return Check("SMTP", state, "SMTP_URL is not set", "Put the address of your mail server into .env.")
    server = read_smtp_url(url)
    trouble = SmtpTransport(server, SystemClock(), timeout=2 * TIMEOUT).try_out()
    if trouble:
        return Check("SMTP", state, trouble, "Look at NEWSLETTER_SMTP_URL in .env, and at the mail server.")
    how = {Security.NONE: "without TLS", Security.STARTTLS: "by STARTTLS", Security.TLS: "by TLS"}[server.security]
    logged_in = ", logged in" if server.user else ""
    return Check("SMTP", State.OK, f"{server.host} answers {how}{logged_in}")


def _judge_key(answer: KeyAnswer) -> Check:
    if answer.status == 200:
        if MAIL_SEND in answer.scopes:
            return Check("SendGrid", State.OK, "the key may send")
        return Check(
            "SendGrid", State.STOP, "the key may not send", "Give it the scope Mail Send, or take another key."
        )
    if answer.status in (401, 403):
        return Check("SendGrid", State.STOP, f"refuses the key ({answer.status})", "Set a key that is in force.")
    return Check("SendGrid", State.WARN, f"answered {answer.status}; what the key may do is not known", "Try later.")


def _judge_clock(answer: KeyAnswer, now: datetime) -> list[Check]:
    if answer.time is None:
        return []
    off = abs(now - answer.time)
    told = f"differs from SendGrid's by {off.total_seconds():.0f} s"
    state = State.STOP if off > _CLOCK_WRONG else State.WARN if off > _CLOCK_OFF else State.OK
    return [Check("this machine's clock", state, told, "" if state is State.OK else "Set the clock by NTP.")]


def _to_double(settings: Settings) -> bool:
    return is_loopback(urlsplit(settings.machine.sendgrid_host).hostname or "")


def _domain(address: str) -> str:
    return address.rpartition("@")[2]
