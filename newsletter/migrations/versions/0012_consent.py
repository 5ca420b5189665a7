"""The whole of consent: what was shown, by which way, and sign-ups that wait for their owner; one table of refusals.

Step 0012, after 0011.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
instant = sa.DateTime(timezone=True)

REASONS = ("bounced", "complained", "staff", "erased")
ACTS = (
    "asked",
    "confirmed",
    "given",
    "imported",
    "changed",
    "paused",
    "resumed",
    "withdrawn",
    "told why",
    "lifted",
    "undone",
    "erased",
)
TEXTS = ("by", "method", "controller", "privacy_notice", "age_statement")
"""New columns of consent that have a text in every row; it is empty in the rows from before."""

ONLY_ADDED = "rows of consent are only ever added"
OF_PENDING = "(SELECT state FROM subscriber WHERE number = OLD.subscriber) = 'pending'"

TRIGGERS: Mapping[str, Sequence[str]] = {
    "sqlite": (
        f"CREATE TRIGGER consent_never_changes BEFORE UPDATE ON consent BEGIN SELECT RAISE(ABORT, '{ONLY_ADDED}'); END",
        f"CREATE TRIGGER consent_stays BEFORE DELETE ON consent WHEN NOT {OF_PENDING} "
        f"BEGIN SELECT RAISE(ABORT, '{ONLY_ADDED}'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION consent_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'DELETE' AND {OF_PENDING} THEN RETURN OLD; END IF; "
        f"RAISE EXCEPTION '{ONLY_ADDED}'; END $$",
        "CREATE TRIGGER consent_stays BEFORE UPDATE OR DELETE ON consent "
        "FOR EACH ROW EXECUTE FUNCTION consent_only_grows()",
    ),
}


def words(name: str, *members: str) -> sa.Enum:
    """One word of a set, as text with a check."""
    return sa.Enum(*members, name=name, native_enum=False, create_constraint=True, length=20)


def upgrade() -> None:
    """Take the step. Whoever has left is on the list of suppressions from now on."""
    with op.batch_alter_table("subscriber", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(sa.Column("paused_until", instant, nullable=True))
    with op.batch_alter_table("suppression") as table:
        table.alter_column(
            "reason",
            existing_type=words("suppressionreason", *REASONS),
            type_=words("suppressionreason", "unsubscribed", *REASONS),
            existing_nullable=False,
        )
    op.create_table(
        "consent_wording",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_consent_wording"),
    )
    # What staff had entered was called confirmed as well; only who was asked has confirmed.
    op.execute(
        "UPDATE consent SET act = 'given' WHERE act = 'confirmed' AND NOT EXISTS (SELECT 1 FROM consent AS asked "
        "WHERE asked.subscriber = consent.subscriber AND asked.act = 'asked' AND asked.number < consent.number)"
    )
    _widen_consent()
    op.create_table(
        "consent_trace",
        sa.Column("consent", serial, autoincrement=False, nullable=False),
        sa.Column("at", instant, nullable=False),
        sa.Column("ip", sa.Text(), nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["consent"], ["consent.number"], name="fk_consent_trace_consent", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("consent", name="pk_consent_trace"),
    )
    op.create_index("ix_consent_trace_at", "consent_trace", ["at"])
    _create_sign_up()
    _create_reader_notice()
    op.execute(
        "INSERT INTO suppression (address_hash, reason, source, at) "
        "SELECT address_hash, 'unsubscribed', 'left before suppressions had their own', max(added_at) FROM subscriber "
        "WHERE state = 'unsubscribed' AND address_hash IS NOT NULL "
        "AND address_hash NOT IN (SELECT address_hash FROM suppression) GROUP BY address_hash"
    )
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    """Take the step back."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER consent_never_changes")
        op.execute("DROP TRIGGER consent_stays")
    else:
        op.execute("DROP TRIGGER consent_stays ON consent")
        op.execute("DROP FUNCTION consent_only_grows()")
    op.execute("DELETE FROM suppression WHERE reason = 'unsubscribed'")
    for name in ("reader_notice", "sign_up", "consent_trace"):
        op.drop_table(name)
    with op.batch_alter_table("consent") as table:
        table.drop_constraint("fk_consent_wording_hash", type_="foreignkey")
        for name in (*TEXTS, "wording_hash", "language", "topics", "given_at", "tracking", "details"):
            table.drop_column(name)
        table.alter_column("act", existing_type=words("consentact", *ACTS), type_=sa.Text(), existing_nullable=False)
    op.drop_table("consent_wording")
    with op.batch_alter_table("suppression") as table:
        table.alter_column(
            "reason",
            existing_type=words("suppressionreason", "unsubscribed", *REASONS),
            type_=words("suppressionreason", *REASONS),
            existing_nullable=False,
        )
    with op.batch_alter_table("subscriber", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_column("paused_until")


def _widen_consent() -> None:
    with op.batch_alter_table("consent") as table:
        for name in TEXTS:
            table.add_column(sa.Column(name, sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("wording_hash", sa.Text(), nullable=True))
        table.add_column(sa.Column("language", sa.Text(), nullable=True))
        table.add_column(sa.Column("topics", sa.JSON(), nullable=True))
        table.add_column(sa.Column("given_at", instant, nullable=True))
        table.add_column(sa.Column("tracking", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("details", sa.JSON(), nullable=True))
    with op.batch_alter_table("consent") as table:
        for name in TEXTS:
            table.alter_column(name, existing_type=sa.Text(), server_default=None)
        table.alter_column("tracking", existing_type=sa.Boolean(), server_default=None)
        table.alter_column("act", existing_type=sa.Text(), type_=words("consentact", *ACTS), existing_nullable=False)
        table.create_foreign_key("fk_consent_wording_hash", "consent_wording", ["wording_hash"], ["hash"])


def _create_sign_up() -> None:
    op.create_table(
        "sign_up",
        sa.Column("number", serial, nullable=False),
        sa.Column("subscriber", serial, nullable=False),
        sa.Column("asked_at", instant, nullable=False),
        sa.Column("expires_at", instant, nullable=False),
        sa.Column("confirmed_at", instant, nullable=True),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("topics", sa.JSON(), nullable=False),
        sa.Column("text_only", sa.Boolean(), nullable=False),
        sa.Column("wording_hash", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("controller", sa.Text(), nullable=False),
        sa.Column("privacy_notice", sa.Text(), nullable=False),
        sa.Column("age_statement", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscriber.number"], name="fk_sign_up_subscriber"),
        sa.ForeignKeyConstraint(["wording_hash"], ["consent_wording.hash"], name="fk_sign_up_wording_hash"),
        sa.PrimaryKeyConstraint("number", name="pk_sign_up"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sign_up_subscriber", "sign_up", ["subscriber"])
    op.create_index("ix_sign_up_expires_at", "sign_up", ["expires_at"])


def _create_reader_notice() -> None:
    op.create_table(
        "reader_notice",
        sa.Column("number", serial, nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("subscriber", serial, nullable=False),
        sa.Column("kind", words("readernoticekind", "confirm", "here already", "welcome", "choices"), nullable=False),
        sa.Column("sign_up", serial, nullable=True),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("mailbox_hash", sa.Text(), nullable=False),
        sa.Column("domain_hash", sa.Text(), nullable=False),
        sa.Column("wanted_at", instant, nullable=False),
        sa.Column("not_before", instant, nullable=False),
        sa.Column("sent_at", instant, nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscriber.number"], name="fk_reader_notice_subscriber"),
        sa.ForeignKeyConstraint(["sign_up"], ["sign_up.number"], name="fk_reader_notice_sign_up"),
        sa.PrimaryKeyConstraint("number", name="pk_reader_notice"),
        sa.UniqueConstraint("cause", name="uq_reader_notice_cause"),
    )
    unsent = sa.text("sent_at IS NULL")
    op.create_index("ix_reader_notice_subscriber", "reader_notice", ["subscriber"])
    op.create_index("ix_reader_notice_sign_up", "reader_notice", ["sign_up"])
    op.create_index("ix_reader_notice_mailbox_hash", "reader_notice", ["mailbox_hash", "wanted_at"])
    op.create_index("ix_reader_notice_domain_hash", "reader_notice", ["domain_hash", "wanted_at"])
    op.create_index("ix_reader_notice_wanted_at", "reader_notice", ["wanted_at"])
    op.create_index(
        "ix_reader_notice_waiting", "reader_notice", ["not_before"], sqlite_where=unsent, postgresql_where=unsent
    )
