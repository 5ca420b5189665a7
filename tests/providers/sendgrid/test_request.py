"""The request body: the JSON that SendGrid's own package would build, with readers untracked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from sendgrid.helpers.mail import (
    BypassUnsubscribeManagement,
    ClickTracking,
    Content,
    CustomArg,
    Email,
    Ganalytics,
    Header,
    Mail,
    MailSettings,
    OpenTracking,
    Personalization,
    ReplyTo,
    SubscriptionTracking,
    Substitution,
    To,
    TrackingSettings,
)

from newsletter.providers.contract import OutgoingBatch
from newsletter.providers.sendgrid.request import request_body
from newsletter.sendgrid_double.rules import judge
from tests.providers.batches import make_batch


def built_by_sendgrid(batch: OutgoingBatch) -> dict[str, Any]:
    mail = Mail()
    mail.from_email = Email(batch.sender.address, batch.sender.name)
    mail.reply_to = ReplyTo(batch.reply_to.address)
    mail.subject = batch.subject
    mail.add_content(Content("text/plain", batch.text))
    if batch.html is not None:
        mail.add_content(Content("text/html", batch.html))
    for number, person in enumerate(batch.people):
        own = Personalization()
        own.add_to(To(person.recipient.address))
        for name, value in {**person.headers, "List-Id": "<newsletter.clinic.example.org>"}.items():
            own.add_header(Header(name, value))
        for tag, value in person.substitutions.items():
            own.add_substitution(Substitution(tag, value))
        for name, value in person.custom_args.items():
            own.add_custom_arg(CustomArg(name, value))
        # Without an index the package inserts each at the front, in reverse order.
        mail.add_personalization(own, index=number)
    tracking = TrackingSettings()
    tracking.click_tracking = ClickTracking(enable=False, enable_text=False)
    tracking.open_tracking = OpenTracking(enable=False)
    tracking.subscription_tracking = SubscriptionTracking(enable=False)
    tracking.ganalytics = Ganalytics(enable=False)
    mail.tracking_settings = tracking
    if batch.to_who_left:
        mail.mail_settings = MailSettings(
            bypass_unsubscribe_management=BypassUnsubscribeManagement(enable=True),
        )
    built: dict[str, Any] = mail.get()
    return built


def test_the_request_is_what_sendgrids_own_package_builds() -> None:
    batch = make_batch(3)
    assert orjson.loads(request_body(batch)) == built_by_sendgrid(batch)


def test_what_somebody_who_has_left_asks_for_passes_the_list_of_unsubscribes_and_no_other() -> None:
    batch = replace(make_batch(1), to_who_left=True)
    body = orjson.loads(request_body(batch))
    assert body == built_by_sendgrid(batch)
    assert body["mail_settings"] == {"bypass_unsubscribe_management": {"enable": True}}
    assert judge(request_body(batch), "application/json", batch.date).status == 202


def test_a_text_only_batch_has_no_html() -> None:
    batch = make_batch(2, html=False)
    assert orjson.loads(request_body(batch)) == built_by_sendgrid(batch)
    assert [part["type"] for part in orjson.loads(request_body(batch))["content"]] == ["text/plain"]


def test_nothing_of_a_reader_stands_in_what_sendgrid_keeps() -> None:
    fields = orjson.loads(request_body(make_batch(3)))
    for own in fields["personalizations"]:
        assert set(own) == {"to", "headers", "substitutions", "custom_args"}
        assert "@" not in orjson.dumps(own["custom_args"]).decode()
        assert set(own["to"][0]) == {"email"}
    assert "categories" not in fields
