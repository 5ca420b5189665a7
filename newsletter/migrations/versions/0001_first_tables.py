"""The first tables: audit, staff, people, editions, sends.

Step 0001, after nothing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
instant = sa.DateTime(timezone=True)


def words(name: str, *members: str) -> sa.Enum:
    """One word of a set, as text with a check."""
    return sa.Enum(*members, name=name, native_enum=False, create_constraint=True, length=20)


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "audit",
        sa.Column("number", serial, nullable=False),
        sa.Column("at", instant, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("source", words("source", "shell", "web", "scheduler"), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
    )
    op.create_index("ix_audit_subject", "audit", ["subject"], unique=False)

    op.create_table(
        "delivery",
        sa.Column("edition", serial, autoincrement=False, nullable=False),
        sa.Column("subscriber", serial, autoincrement=False, nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            words(
                "deliverystate",
                "planned",
                "left out",
                "refused",
                "handed over",
                "uncertain",
                "delivered",
                "bounced",
                "dropped",
                "deferred",
            ),
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("edition", "subscriber", name="pk_delivery"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_delivery_edition_batch", "delivery", ["edition", "batch"], unique=False)

    op.create_table(
        "heartbeat",
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("at", instant, nullable=False),
        sa.PrimaryKeyConstraint("part", name="pk_heartbeat"),
    )
    op.create_table(
        "picture",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_picture"),
    )
    op.create_table(
        "staff_member",
        sa.Column("number", serial, nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("added_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_staff_member"),
        sa.UniqueConstraint("email", name="uq_staff_member_email"),
    )
    op.create_table(
        "subscriber",
        sa.Column("number", serial, nullable=False),
        sa.Column(
            "state",
            words("subscriberstate", "pending", "active", "paused", "unsubscribed", "suppressed", "erased"),
            nullable=False,
        ),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("address_key", sa.Text(), nullable=True),
        sa.Column("address_hash", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("text_only", sa.Boolean(), nullable=False),
        sa.Column("added_at", instant, nullable=False),
        sa.Column("joined_at", instant, nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_subscriber"),
        sa.UniqueConstraint("address_key", name="uq_subscriber_address_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_subscriber_address_hash", "subscriber", ["address_hash"], unique=False)

    op.create_table(
        "suppression",
        sa.Column("address_hash", sa.Text(), nullable=False),
        sa.Column("reason", words("suppressionreason", "bounced", "complained", "staff", "erased"), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("at", instant, nullable=False),
        sa.PrimaryKeyConstraint("address_hash", name="pk_suppression"),
    )
    op.create_table(
        "consent",
        sa.Column("number", serial, nullable=False),
        sa.Column("subscriber", serial, nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("wording", sa.Text(), nullable=True),
        sa.Column("at", instant, nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscriber.number"], name="fk_consent_subscriber"),
        sa.PrimaryKeyConstraint("number", name="pk_consent"),
    )
    op.create_index("ix_consent_subscriber", "consent", ["subscriber"], unique=False)

    op.create_table(
        "edition",
        sa.Column("serial", serial, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("mailing", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            words(
                "editionstate",
                "submitted",
                "approved",
                "sent back",
                "scheduled",
                "sending",
                "held",
                "cancelled",
                "void",
            ),
            nullable=False,
        ),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("sender_name", sa.Text(), nullable=False),
        sa.Column("sender_address", sa.Text(), nullable=False),
        sa.Column("reply_to", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("preheader", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("planned_at", instant, nullable=False),
        sa.Column("send_at", instant, nullable=True),
        sa.Column("submitted_by", serial, nullable=False),
        sa.Column("submitted_at", instant, nullable=False),
        sa.Column("approved_at", instant, nullable=True),
        sa.Column("approved_until", instant, nullable=True),
        sa.ForeignKeyConstraint(["submitted_by"], ["staff_member.number"], name="fk_edition_submitted_by"),
        sa.PrimaryKeyConstraint("serial", name="pk_edition"),
        sa.UniqueConstraint("month", "mailing", "number", name="uq_edition_month_mailing_number"),
        sa.UniqueConstraint("id", name="uq_edition_id"),
    )
    op.create_index(
        "ix_edition_one_open",
        "edition",
        ["month", "mailing"],
        unique=True,
        sqlite_where=sa.text("state IN ('approved', 'held', 'scheduled', 'submitted')"),
        postgresql_where=sa.text("state IN ('approved', 'held', 'scheduled', 'submitted')"),
    )
    op.create_index("ix_edition_state_send_at", "edition", ["state", "send_at"], unique=False)

    op.create_table(
        "staff_role",
        sa.Column("person", serial, nullable=False),
        sa.Column("role", words("role", "author", "reviewer", "manager", "administrator"), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["staff_member.number"], name="fk_staff_role_person"),
        sa.PrimaryKeyConstraint("person", "role", name="pk_staff_role"),
    )
    op.create_table(
        "subscriber_topic",
        sa.Column("subscriber", serial, nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscriber.number"], name="fk_subscriber_topic_subscriber"),
        sa.PrimaryKeyConstraint("subscriber", "topic", name="pk_subscriber_topic"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "approval",
        sa.Column("edition", serial, nullable=False),
        sa.Column("person", serial, nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("at", instant, nullable=False),
        sa.ForeignKeyConstraint(["edition"], ["edition.serial"], name="fk_approval_edition"),
        sa.ForeignKeyConstraint(["person"], ["staff_member.number"], name="fk_approval_person"),
        sa.PrimaryKeyConstraint("edition", "person", name="pk_approval"),
    )
    op.create_table(
        "edition_author",
        sa.Column("edition", serial, nullable=False),
        sa.Column("person", serial, nullable=False),
        sa.ForeignKeyConstraint(["edition"], ["edition.serial"], name="fk_edition_author_edition"),
        sa.ForeignKeyConstraint(["person"], ["staff_member.number"], name="fk_edition_author_person"),
        sa.PrimaryKeyConstraint("edition", "person", name="pk_edition_author"),
    )
    op.create_table(
        "edition_picture",
        sa.Column("edition", serial, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["edition"], ["edition.serial"], name="fk_edition_picture_edition"),
        sa.ForeignKeyConstraint(["sha256"], ["picture.sha256"], name="fk_edition_picture_sha256"),
        sa.PrimaryKeyConstraint("edition", "name", name="pk_edition_picture"),
    )
    op.create_table(
        "send",
        sa.Column("edition", serial, autoincrement=False, nullable=False),
        sa.Column(
            "state",
            words("sendstate", "planning", "waiting", "running", "paused", "stopped", "finished"),
            nullable=False,
        ),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("transport", sa.Text(), nullable=False),
        sa.Column("batch_limit", sa.Integer(), nullable=False),
        sa.Column("audience_at", instant, nullable=False),
        sa.Column("highest_subscriber", serial, nullable=False),
        sa.Column("planned_up_to", serial, nullable=False),
        sa.Column("next_batch", sa.Integer(), nullable=False),
        sa.Column("wait_until", instant, nullable=True),
        sa.Column("paused_at", instant, nullable=True),
        sa.Column("asked_at", instant, nullable=True),
        sa.Column("failing", sa.Integer(), nullable=False),
        sa.Column("opened_at", instant, nullable=False),
        sa.Column("finished_at", instant, nullable=True),
        sa.ForeignKeyConstraint(["edition"], ["edition.serial"], name="fk_send_edition"),
        sa.PrimaryKeyConstraint("edition", name="pk_send"),
    )
    op.create_index("ix_send_state", "send", ["state"], unique=False)

    op.create_table(
        "batch",
        sa.Column("edition", serial, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("variant", words("variant", "html", "text"), nullable=False),
        sa.Column(
            "state",
            words("batchstate", "planned", "claimed", "in flight", "accepted", "rejected", "uncertain", "empty"),
            nullable=False,
        ),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("handed_over", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("left_out", sa.Integer(), nullable=False),
        sa.Column("uncertain", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("lease_until", instant, nullable=True),
        sa.Column("not_before", instant, nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["edition"], ["send.edition"], name="fk_batch_edition"),
        sa.PrimaryKeyConstraint("edition", "number", name="pk_batch"),
    )
    op.create_index("ix_batch_edition_state", "batch", ["edition", "state"], unique=False)

    op.create_table(
        "attempt",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("edition", serial, nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column(
            "state", words("attemptstate", "in flight", "accepted", "rejected", "not sent", "uncertain"), nullable=False
        ),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("started_at", instant, nullable=False),
        sa.Column("answered_at", instant, nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["edition", "batch"], ["batch.edition", "batch.number"], name="fk_attempt_edition_batch"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_attempt"),
    )
    op.create_index("ix_attempt_edition_batch", "attempt", ["edition", "batch"], unique=False)
    op.create_index("ix_attempt_state_started_at", "attempt", ["state", "started_at"], unique=False)


def downgrade() -> None:
    """Take it back."""
    op.drop_table("attempt")
    op.drop_table("batch")
    op.drop_table("send")
    op.drop_table("edition_picture")
    op.drop_table("edition_author")
    op.drop_table("approval")
    op.drop_table("subscriber_topic")
    op.drop_table("staff_role")
    op.drop_table("edition")
    op.drop_table("consent")
    op.drop_table("suppression")
    op.drop_table("subscriber")
    op.drop_table("staff_member")
    op.drop_table("picture")
    op.drop_table("heartbeat")
    op.drop_table("delivery")
    op.drop_table("audit")
