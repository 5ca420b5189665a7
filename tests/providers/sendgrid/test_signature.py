"""A post is SendGrid's when its signature says so, and the answer is never an exception."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from sendgrid import EventWebhook

from newsletter.errors import Refused
from newsletter.providers.sendgrid.signature import is_signed, read_public_key
from newsletter.settings import read_settings
from tests.node import ROOT
from tests.provider_events.signing import as_text, sign

# The vector that the sendgrid package is tested with.
PUBLIC_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglS"
    "I8eNEc6wEA3F+g=="
)
OTHER_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqTxd43gyp8IOEto2LdIfjRQrIbsd4SXZkLW6jDutdhXSJCWHw8REntlo7aNDthvj+y7GjUuF"
    "Db/R1NGe1OPzpA=="
)
SIGNATURE = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
OTHER_SIGNATURE = "MEUCIQCtIHJeH93Y+qpYeWrySphQgpNGNr/U+UyUlBkU6n7RAwIgJTz2C+8a8xonZGi6BpSzoQsbVRamr2nlxFDWYNH3j/0="
TIMESTAMP = "1600112502"
EVENT = {
    "email": "hello@world.com",
    "event": "dropped",
    "reason": "Bounced Address",
    "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
    "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
    "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",
    "timestamp": 1600112492,
}
BODY = json.dumps([EVENT], sort_keys=True, separators=(",", ":")).encode() + b"\r\n"


def test_the_published_vector_is_signed() -> None:
    assert is_signed(read_public_key(PUBLIC_KEY), BODY, SIGNATURE, TIMESTAMP)


@pytest.mark.parametrize(
    ("key", "body", "signature", "timestamp"),
    [
        (OTHER_KEY, BODY, SIGNATURE, TIMESTAMP),
        (PUBLIC_KEY, b"payload", SIGNATURE, TIMESTAMP),
        (PUBLIC_KEY, BODY.strip(), SIGNATURE, TIMESTAMP),
        (PUBLIC_KEY, BODY, OTHER_SIGNATURE, TIMESTAMP),
        (PUBLIC_KEY, BODY, SIGNATURE, "timestamp"),
    ],
    ids=["other key", "other body", "without its line break", "other signature", "other timestamp"],
)
def test_anything_else_is_not_and_the_package_of_sendgrid_agrees(
    key: str, body: bytes, signature: str, timestamp: str
) -> None:
    assert not is_signed(read_public_key(key), body, signature, timestamp)
    assert not EventWebhook(key).verify_signature(body.decode(), signature, timestamp)


@pytest.mark.parametrize("signature", ["", "MEUC", "no base64!", "ünsigned", SIGNATURE[:-4], SIGNATURE + "AAAA"])
def test_headers_that_are_no_signature_are_refused_without_an_exception(signature: str) -> None:
    assert not is_signed(read_public_key(PUBLIC_KEY), BODY, signature, TIMESTAMP)


@given(body=st.binary(max_size=300), signature=st.text(max_size=120), timestamp=st.text(max_size=20))
def test_no_request_raises(body: bytes, signature: str, timestamp: str) -> None:
    assert not is_signed(read_public_key(PUBLIC_KEY), body, signature, timestamp)


@given(text=st.text(max_size=80), timestamp=st.text("0123456789", min_size=1, max_size=12))
def test_what_one_key_signed_both_readers_take(text: str, timestamp: str) -> None:
    own = ec.derive_private_key(7, ec.SECP256R1())
    public = as_text(own.public_key())
    signature = sign(own, text.encode(), timestamp)
    assert is_signed(read_public_key(public), text.encode(), signature, timestamp)
    assert EventWebhook(public).verify_signature(text, signature, timestamp)


def test_a_key_may_have_the_lines_of_a_file_around_it() -> None:
    armoured = f"-----BEGIN PUBLIC KEY-----\n{PUBLIC_KEY[:64]}\n{PUBLIC_KEY[64:]}\n-----END PUBLIC KEY-----\n"
    settings = read_settings(ROOT, {"NEWSLETTER_SENDGRID_WEBHOOK_PUBLIC_KEY": armoured})
    assert settings.machine.sendgrid_webhook_public_key == PUBLIC_KEY
    assert is_signed(read_public_key(armoured), BODY, SIGNATURE, TIMESTAMP)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "nonsense",
        PUBLIC_KEY[:-8],
        as_text(ec.derive_private_key(7, ec.SECP384R1()).public_key()),
        PUBLIC_KEY[:60] + "A" * 64,
    ],
)
def test_a_key_that_is_none_is_refused_when_it_is_read(key: str) -> None:
    with pytest.raises(Refused, match="is not the public key of a webhook"):
        read_public_key(key)
