"""Whether a post to the webhook is SendGrid's: ECDSA on P-256 over its timestamp and its bytes, as they came.

Nothing is said about how old a post may be: SendGrid repeats for 24 hours, and whether it signs anew is not documented.
That a post counts once is kept by what is done with it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from newsletter.errors import Refused

SIGNATURE_HEADER = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP_HEADER = "X-Twilio-Email-Event-Webhook-Timestamp"

PublicKey: TypeAlias = EllipticCurvePublicKey

_ARMOUR = re.compile(r"-----[A-Z ]+-----|\s")


def read_public_key(text: str) -> PublicKey:
    """The public key of a webhook, as SendGrid shows it: base64, with or without the lines of a PEM file around it.

    Raises Refused for anything else.
    """
    try:
        key = load_der_public_key(b64decode(_ARMOUR.sub("", text), validate=True))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise Refused(
            "SENDGRID_WEBHOOK_PUBLIC_KEY is not the public key of a webhook. Copy it from SendGrid: Settings, Mail "
            "Settings, Event Webhook, Signature Verification."
        )
    return key


def is_signed(key: PublicKey, body: bytes, signature: str, timestamp: str) -> bool:
    """Whether the owner of a key has signed these bytes; `signature` and `timestamp` are the headers, empty if absent.

    The bytes must be those that came, with their last line break. Never raises.
    """
    try:
        key.verify(b64decode(signature, validate=True), timestamp.encode() + body, ECDSA(SHA256()))
    except (InvalidSignature, Base64Error, ValueError):
        return False
    return True
