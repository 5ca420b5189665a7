"""Builds the parts from the settings, once, for web, scheduler, commands and tests."""

from __future__ import annotations

import os
import platform
import secrets
from urllib.parse import urlsplit

from newsletter.addresses import is_loopback, objection_to_base_url, read_smtp_url
from newsletter.campaigns.catalogue import find_campaign
from newsletter.campaigns.model import Campaign, Mailing
from newsletter.campaigns.reader import read_campaign
from newsletter.campaigns.send_times import SendTime, read_send_time
from newsletter.clock import Clock
from newsletter.database.audit import SCHEDULER, Actor
from newsletter.database.instance import keep_to_its_place, require_same_instance
from newsletter.database.session import Database
from newsletter.delivery.model import DailyLimit, Limits, Rate
from newsletter.delivery.worker import Worker
from newsletter.errors import Fault, NotFound, Refused, SettingsFaults
from newsletter.mail import Mailbox
from newsletter.notices.desk import Desk
from newsletter.notices.reader_mailing import ReaderDesk
from newsletter.preflight.model import Draft, Report
from newsletter.preflight.runner import run_checks
from newsletter.providers.contract import Transport
from newsletter.providers.mailbox import MailboxTransport
from newsletter.providers.sendgrid.suppressions import SendGridLists
from newsletter.providers.sendgrid.transport import SendGridTransport
from newsletter.providers.smtp.transport import SmtpTransport
from newsletter.rendering.brand import read_brand
from newsletter.rendering.email import render_email
from newsletter.rendering.model import RenderedEmail
from newsletter.settings import WORKSPACE_FILE, Settings
from newsletter.subscribers.reader_notices import AnswerLimits
from newsletter.subscribers.tokens import Tokens
from newsletter.subscribers.topics import read_topics
from newsletter.suppression_lists.sync import Sync


def read_named_campaign(settings: Settings, name: str) -> Campaign:
    """The campaign that a person named, read from the workspace; raises NotFound or DefinitionFaults."""
    return read_campaign(
        find_campaign(settings.workspace, name),
        time_zone=settings.clinic.zone,
        sending_rule=_sending_rule(settings),
        topics=read_topics(settings.workspace).keys(),
    )


def choose_mailings(campaign: Campaign, name: str | None) -> tuple[Mailing, ...]:
    """The mailing of a name, or all of them; raises NotFound with the names there are."""
    chosen = tuple(m for m in campaign.mailings if name in (None, m.name))
    if not chosen:
        there = ", ".join(m.name for m in campaign.mailings)
        raise NotFound(f"{campaign.id} has no mailing `{name}`. Its mailings: {there}.")
    return chosen


def render_mailing(
    settings: Settings, campaign: Campaign, mailing: Mailing, *, pictures_at: str | None = None
) -> RenderedEmail:
    """A mailing rendered with the workspace's brand and templates; see `rendering.email.render_email`."""
    return render_email(
        campaign,
        mailing,
        clinic=settings.clinic,
        brand=read_brand(settings.workspace),
        workspace=settings.workspace,
        base_url=settings.machine.base_url,
        pictures_at=pictures_at,
    )


def check_mailing(settings: Settings, campaign: Campaign, mailing: Mailing, mail: RenderedEmail) -> Report:
    """The preflight report of a rendered mailing."""
    return run_checks(
        Draft(
            campaign,
            mailing,
            mail,
            read_brand(settings.workspace),
            settings.clinic,
            settings.sender,
            settings.machine.base_url,
        )
    )


def make_tokens(settings: Settings) -> Tokens:
    """Signs and reads the links of readers; raises Refused without a SECRET_KEY."""
    return Tokens(settings.machine.secret_key.get_secret_value().split(","))


def suppression_key(settings: Settings) -> str:
    """The key that hashes addresses for suppressions; raises Refused when it is not set."""
    key = settings.machine.suppression_key.get_secret_value()
    if not key:
        raise Refused(
            "SUPPRESSION_KEY is not set, so addresses cannot be kept safely. `newsletter init` writes one to .env."
        )
    return key


def make_transport(settings: Settings, clock: Clock) -> Transport:
    """What carries mails, by the setting TRANSPORT; raises Refused when it cannot be used as it is set."""
    if settings.machine.transport == "mailbox":
        return MailboxTransport(settings.mailbox)
    if settings.machine.transport == "smtp":
        return _smtp_transport(settings, clock)
    return SendGridTransport(_sendgrid_key(settings), settings.machine.sendgrid_host, clock)


def make_sync(settings: Settings, database: Database, clock: Clock, *, actor: Actor = SCHEDULER) -> Sync | None:
    """What keeps SendGrid's lists and ours alike; None with another transport. Raises Refused as `make_transport`."""
    if settings.machine.transport != "sendgrid":
        return None
    return Sync(
        database,
        SendGridLists(_sendgrid_key(settings), settings.machine.sendgrid_host, clock),
        clock,
        settings.clinic.zone,
        suppression_key(settings),
        settings.machine.sendgrid_unsubscribe_group,
        actor,
    )


def _sendgrid_key(settings: Settings) -> str:
    key = settings.machine.sendgrid_api_key.get_secret_value()
    if not key:
        raise Refused("TRANSPORT is sendgrid, but SENDGRID_API_KEY is not set. Put the account's key into .env.")
    require_public(settings)
    return key


def _smtp_transport(settings: Settings, clock: Clock) -> SmtpTransport:
    url = settings.machine.smtp_url.get_secret_value()
    if not url:
        raise Refused("TRANSPORT is smtp, but SMTP_URL is not set. Put the address of your mail server into .env.")
    # A mail server on this machine hands mails on like any other.
    _require_public_links(settings)
    return SmtpTransport(read_smtp_url(url), clock)


def require_public(settings: Settings) -> None:
    """Raise Refused when mails would really go out with links that no reader can open; a double on loopback may."""
    host = urlsplit(settings.machine.sendgrid_host)
    if is_loopback(host.hostname or ""):
        return
    if host.scheme != "https":
        raise Refused("SENDGRID_HOST must begin with https://, or the key could be read on the way.")
    _require_public_links(settings)


def _require_public_links(settings: Settings) -> None:
    if objection := objection_to_base_url(settings.machine.base_url):
        raise Refused(f"Nothing is sent for real with BASE_URL={settings.machine.base_url}: {objection}")


def make_worker(settings: Settings, database: Database, clock: Clock) -> Worker:
    """What sends batches, named for this machine and this life of a process.

    Raises SendingLocked when the workspace belongs to another database. One that was copied is locked first.
    """
    with database.write() as session:
        keep_to_its_place(session, clock.now())
        require_same_instance(session, settings.instance_file)
    # In a container every process has the same number, life after life.
    name = f"{platform.node()}:{os.getpid()}:{secrets.token_hex(3)}"
    transport, tokens = make_transport(settings, clock), make_tokens(settings)
    return Worker(
        name,
        database,
        transport,
        tokens,
        clock,
        limits=make_limits(settings),
        inbound_address=settings.machine.inbound_address,
    )


def make_desk(settings: Settings, database: Database, clock: Clock) -> Desk:
    """What notices to staff are written and sent with: by another way than the send has trouble on, if there is one."""
    beside = settings.machine.transport == "sendgrid" and settings.machine.smtp_url.get_secret_value()
    return _desk(
        settings, database, clock, _smtp_transport(settings, clock) if beside else make_transport(settings, clock)
    )


def make_reader_desk(settings: Settings, database: Database, clock: Clock) -> ReaderDesk:
    """What readers' notices are written and sent with: by the way that their newsletters go."""
    return ReaderDesk(
        _desk(settings, database, clock, make_transport(settings, clock)),
        make_tokens(settings),
        settings.machine.base_url,
        settings.clinic.postal_address,
        settings.sending.pending_days,
        settings.machine.inbound_address,
    )


def _desk(settings: Settings, database: Database, clock: Clock, transport: Transport) -> Desk:
    sender = settings.sender
    return Desk(
        database,
        transport,
        clock,
        settings.workspace,
        settings.clinic.name,
        Mailbox(sender.address, sender.name),
        Mailbox(sender.reply_to),
        settings.machine.suppression_key.get_secret_value(),
    )


def make_answer_limits(settings: Settings) -> AnswerLimits:
    """How many mails sign-ups may cause, and how long their links hold."""
    return AnswerLimits(settings.sending.sign_ups_an_hour, settings.sending.confirm_days)


def make_limits(settings: Settings) -> Limits:
    """How fast and how far sends go by themselves."""
    sending = settings.sending
    daily = DailyLimit(sending.people_a_day, settings.clinic.zone) if sending.people_a_day else None
    return Limits(Rate(sending.requests_per_second, sending.burst), daily, brake=sending.brake_after)


def _sending_rule(settings: Settings) -> SendTime:
    try:
        return read_send_time(settings.sending.rule)
    except ValueError as error:
        problem, _, remedy = str(error).partition(" | ")
        raise SettingsFaults([Fault(WORKSPACE_FILE, 0, "sending.rule", problem, remedy)]) from None
