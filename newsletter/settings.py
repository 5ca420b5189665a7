"""The settings: the environment, then `.env`, then `newsletter.toml`; read once into one frozen object.

The clinic describes itself in `newsletter.toml`. What depends on the machine (`DATABASE_URL`, `BASE_URL`, keys) is
given as `NEWSLETTER_<NAME>` in the environment or in `.env`, or under `[settings]` in `newsletter.toml`.
"""

from __future__ import annotations

import os
import re
from base64 import b64decode
from collections.abc import Mapping
from functools import cached_property
from io import StringIO
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from dotenv.parser import parse_stream
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from newsletter.addresses import read_base_url, read_email, read_smtp_url, read_website
from newsletter.errors import Fault, SettingsFaults
from newsletter.staff_files import FileFaults, Language, Tree, parse, read_text, read_toml

PREFIX = "NEWSLETTER_"
WORKSPACE_FILE = "newsletter.toml"
KEY_LENGTH = 32
"""Characters that a key for signing must have; `init` writes 43."""


def _time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ValueError, OSError, KeyError):
        raise ValueError(f"`{text}` is not a time zone. | Write it as Europe/London or Asia/Singapore.") from None
    return text


def _secret_key(secret: SecretStr) -> SecretStr:
    if any(len(key.strip()) < KEY_LENGTH for key in secret.get_secret_value().split(",") if key.strip()):
        raise ValueError(
            f"has a key of fewer than {KEY_LENGTH} characters, which can be guessed. "
            "| Take one that `newsletter init` has made."
        )
    return secret


def _api_key(secret: SecretStr) -> SecretStr:
    # A secret that is mounted as a file often ends with a line break, which no header may have.
    key = secret.get_secret_value().strip()
    if not re.fullmatch(r"[!-~]*", key):
        raise ValueError("has a space, a line break or a letter that no key has. | Copy the key again.")
    return SecretStr(key)


def _smtp_url(secret: SecretStr) -> SecretStr:
    if secret.get_secret_value():
        read_smtp_url(secret.get_secret_value())
    return secret


_P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""How the bytes of every public key on the curve P-256 begin (RFC 5480); 64 bytes follow."""


def _webhook_key(text: str) -> str:
    # Copied from a file, it may have the lines of PEM around it.
    plain = re.sub(r"-----[A-Z ]+-----|\s", "", text)
    try:
        key = b64decode(plain, validate=True)
    except ValueError:
        key = b""
    if plain and not (len(key) == len(_P256) + 64 and key.startswith(_P256)):
        raise ValueError(
            "is not the public key of a webhook. | Copy the verification key that SendGrid shows for its webhook."
        )
    return plain


def _email_or_none(text: str) -> str:
    return read_email(text) if text.strip() else ""


def _networks(text: str) -> str:
    named = [part.strip() for part in text.split(",") if part.strip()]
    for part in named:
        try:
            ip_network(part)
        except ValueError:
            raise ValueError(
                f"`{part}` is no address of a machine or network. | Write them as 10.0.0.7 or 10.0.0.0/8, by comma."
            ) from None
    return ",".join(named)


def _origins(text: str) -> str:
    return ",".join(read_base_url(part.strip()) for part in text.split(",") if part.strip())


def _header_line(text: str) -> str:
    if not text.strip() or re.search(r"[\x00-\x1f\x7f\x85\u2028\u2029]", text):
        raise ValueError("is empty or has a line break. | Write it on one line.")
    return text.strip()


Email = Annotated[str, AfterValidator(read_email)]
HeaderLine = Annotated[str, Field(max_length=200), AfterValidator(_header_line)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Clinic(_Part):
    """Who sends: shown in every mail, as the law asks."""

    name: HeaderLine = Field(description="The clinic's name.")
    postal_address: HeaderLine = Field(description="Its postal address on one line; every mail shows it.")
    website: Annotated[str, AfterValidator(read_website)] | None = Field(None, description="Its website.")
    time_zone: Annotated[str, AfterValidator(_time_zone)] = Field(description="Where its clock is: Europe/London.")
    language: Language = Field("en", description="The language of its pages.")

    @cached_property
    def zone(self) -> ZoneInfo:
        """The clinic's time zone."""
        return ZoneInfo(self.time_zone)


class Sender(_Part):
    """What stands in From and Reply-To."""

    name: HeaderLine = Field(description="The name that inboxes show as the sender.")
    address: Email = Field(description="The address that mails come from; its domain must be verified at SendGrid.")
    reply_to: Email = Field(description="Where answers go: an address that somebody reads.")


class Sending(_Part):
    """The clinic's rules for sending."""

    rule: str = Field("first tuesday 09:00", description="When a mailing goes out that names no time of its own.")
    approvals_needed: int = Field(1, ge=1, le=5, description="How many people must approve an edition.")
    approval_days: int = Field(30, ge=1, le=365, description="After so many days an approval expires.")
    late_after: Annotated[int, Field(ge=1, le=72)] = Field(
        2, description="Hours past its time after which a send waits for a person instead of starting late."
    )
    undo_minutes: Annotated[int, Field(ge=0, le=60)] = Field(
        2, description="Minutes in which a send that was begun by hand can be undone before anything goes."
    )
    requests_per_second: Annotated[float, Field(gt=0, le=1_000)] = Field(
        5, description="How many batches at most go to the provider in a second. It is slowed down when it asks."
    )
    burst: Annotated[int, Field(ge=1, le=100)] = Field(
        5, description="How many batches may go at once after a rest, before that pace holds."
    )
    people_a_day: Annotated[int, Field(ge=1)] | None = Field(
        None, description="How many people at most get a mail on one day; the others get it on the days after."
    )
    brake_after: Annotated[int, Field(ge=1, le=100)] = Field(
        5, description="After so many failing attempts in a row a send is paused, and staff are told."
    )
    soft_bounces: int = Field(
        3, ge=2, le=20, description="After so many soft bounces, and nothing delivered between, an address is given up."
    )
    soft_bounce_days: int = Field(30, ge=1, le=365, description="The days within which soft bounces are counted.")
    sign_ups_an_hour: Annotated[int, Field(ge=2, le=1_000_000)] = Field(
        200,
        description="How many mails sign-ups may cause in an hour. What comes beyond is asked to try again later, so "
        "that nobody can flood strangers with mails in the clinic's name.",
    )
    confirm_days: Annotated[int, Field(ge=1, le=14)] = Field(
        7, description="The days for which the link holds that confirms a sign-up."
    )
    pending_days: Annotated[int, Field(ge=14, le=90)] = Field(
        30, description="After so many days a sign-up that nobody confirmed is deleted, and the address with it."
    )
    event_days: int = Field(
        30, ge=2, le=365, description="After so many days, what the provider posted is deleted as it came."
    )


class Machine(_Part):
    """What depends on the machine that the newsletter runs on; `NEWSLETTER_<NAME>` in the environment or `.env`."""

    database_url: str = Field("", description="Where rows are kept. Default: SQLite in the workspace's folder var/.")
    base_url: Annotated[str, AfterValidator(read_base_url)] = Field(
        "http://127.0.0.1:8000", description="The public address of this installation; links in mails begin with it."
    )
    secret_key: Annotated[SecretStr, AfterValidator(_secret_key)] = Field(
        SecretStr(""), description="Signs links. Old keys may follow after commas. Made by `init`."
    )
    suppression_key: SecretStr = Field(
        SecretStr(""), description="Hashes addresses of erased people. Never change it. Made by `init`."
    )
    transport: Literal["mailbox", "sendgrid", "smtp"] = Field(
        "mailbox", description="What carries mails: the local mailbox, SendGrid, or an SMTP server."
    )
    sendgrid_api_key: Annotated[SecretStr, AfterValidator(_api_key)] = Field(
        SecretStr(""), description="The key of the SendGrid account."
    )
    sendgrid_host: Annotated[str, AfterValidator(read_base_url)] = Field(
        "https://api.sendgrid.com", description="SendGrid's API; for EU accounts https://api.eu.sendgrid.com."
    )
    sendgrid_unsubscribe_group: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="The unsubscribe group that SendGrid keeps our unsubscribes in, by its number, for an account that "
        "sends other mail too. Default: its list of all unsubscribes.",
    )
    sendgrid_webhook_public_key: Annotated[str, AfterValidator(_webhook_key)] = Field(
        "", description="Verifies what SendGrid tells about deliveries: the verification key of its Event Webhook."
    )
    inbound_address: Annotated[str, AfterValidator(_email_or_none)] = Field(
        "",
        description="An address at which SendGrid's Inbound Parse takes mail, such as leave@inbound.example.org. When "
        "it is set, mail programs that leave a newsletter by mail can do so.",
    )
    sendgrid_inbound_public_key: Annotated[str, AfterValidator(_webhook_key)] = Field(
        "", description="Verifies the mails that SendGrid posts: the key of the security policy of its Inbound Parse."
    )
    smtp_url: Annotated[SecretStr, AfterValidator(_smtp_url)] = Field(
        SecretStr(""),
        description="The SMTP server: smtps://user:password@mail.example.org, or smtp:// for one with STARTTLS "
        "(without TLS on this machine only). In user and password, write signs such as @ and / as %40 and %2F.",
    )
    tracking: Literal["none", "aggregate"] = Field(
        "none", description="none: nothing is counted. aggregate: clicks are counted for everybody together."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="From which weight on what happens is told in the log, on standard error."
    )
    trusted_proxies: Annotated[str, AfterValidator(_networks)] = Field(
        "127.0.0.1,::1",
        description="The proxies before this web, by address or network, with commas between: whom they say that they "
        "ask for, in X-Forwarded-For, is believed.",
    )
    form_origins: Annotated[str, AfterValidator(_origins)] = Field(
        "",
        description="Sites beside the clinic's website whose pages may have the sign-up form, with commas between: "
        "https://www.example.org.",
    )
    metrics_token: SecretStr = Field(
        SecretStr(""),
        description="A bearer token that lets another machine read /metrics; without one, only this machine may.",
    )


class _WorkspaceFile(_Part):
    clinic: Clinic
    sender: Sender
    sending: Sending = Sending()
    settings: Machine = Machine()


class Settings(_Part):
    """All settings, frozen. `workspace` is the folder of newsletter.toml."""

    workspace: Path
    clinic: Clinic
    sender: Sender
    sending: Sending
    machine: Machine

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL of the database: SQLite in `var/` unless another is set."""
        return self.machine.database_url or f"sqlite:///{self.workspace / 'var' / 'newsletter.sqlite3'}"

    @property
    def instance_file(self) -> Path:
        """Where the workspace keeps the id of its database."""
        return self.workspace / "var" / "instance"

    @property
    def mailbox(self) -> Path:
        """The folder of the local mailbox."""
        return self.workspace / "var" / "mailbox"


def find_workspace(start: Path) -> Path:
    """The nearest folder from `start` upwards that holds newsletter.toml; raises SettingsFaults."""
    for folder in (start, *start.parents):
        if (folder / WORKSPACE_FILE).is_file():
            return folder
    raise SettingsFaults(
        [
            Fault(
                WORKSPACE_FILE,
                0,
                "",
                f"is neither in {start} nor above it.",
                "Go to the folder of your newsletter, or make one: newsletter init DIR",
            )
        ]
    )


def read_settings(workspace: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a workspace; raises SettingsFaults with every fault, named by variable or by file and line."""
    try:
        tree = read_toml(read_text(workspace / WORKSPACE_FILE, WORKSPACE_FILE), WORKSPACE_FILE)
        file = parse(_WorkspaceFile, tree)
        from_env_file = _variables(_read_env_file(workspace / ".env"), ".env")
        from_environment = _variables(environ, "environment")
        machine = file.settings
        for source, values in ((".env", from_env_file), ("environment", from_environment)):
            known = machine.model_dump(exclude_unset=True)
            machine = parse(Machine, Tree(source, {**known, **values}))
    except FileFaults as error:
        raise SettingsFaults([_by_variable(fault) for fault in error.faults]) from None
    return Settings(workspace=workspace, clinic=file.clinic, sender=file.sender, sending=file.sending, machine=machine)


def _read_env_file(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    lines = list(parse_stream(StringIO(read_text(path, ".env"))))
    if broken := [line.original.line for line in lines if line.error]:
        remedy = "Each line is NAME=value, or begins with #."
        raise FileFaults(*(Fault(".env", line, "", "cannot be read here.", remedy) for line in broken))
    return {line.key: line.value or "" for line in lines if line.key}


def _variables(values: Mapping[str, str], source: str) -> dict[str, str]:
    named = {key.removeprefix(PREFIX).lower(): value for key, value in values.items() if key.startswith(PREFIX)}
    named.pop("workspace", None)
    unknown = [
        Fault(source, 0, PREFIX + name.upper(), "is not a setting.", "Check the spelling, or remove it.")
        for name in named
        if name not in Machine.model_fields
    ]
    if unknown:
        raise FileFaults(*unknown)
    return named


def _by_variable(fault: Fault) -> Fault:
    if fault.file in (".env", "environment") and fault.field and not fault.field.startswith(PREFIX):
        return Fault(fault.file, 0, PREFIX + fault.field.upper(), fault.problem, fault.remedy)
    return fault
