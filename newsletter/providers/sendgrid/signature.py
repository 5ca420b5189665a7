"""Whether a post to the webhook is SendGrid's: ECDSA on P-256 over its timestamp and its bytes, as they came.

Nothing is said about how old a post may be: SendGrid repeats for 24 hours, and whether it signs anew is not documented.
That a post counts once is kept by what is done with it.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from binascii import Error as Base64Error
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from newsletter.errors import Refused

SIGNATURE_HEADER = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP_HEADER = "X-Twilio-Email-Event-Webhook-Timestamp"

PublicKey: TypeAlias = EllipticCurvePublicKey

_ARMOUR = re.compile(r"-----[A-Z ]+-----|\s")


def read_public_key(text: str, setting: str = "SENDGRID_WEBHOOK_PUBLIC_KEY") -> PublicKey:
    """The public key of a webhook, as SendGrid shows it: base64, with or without the lines of a PEM file around it.

    Raises Refused for anything else, which names the `setting`.
    """
    try:
        key = load_der_public_key(b64decode(_ARMOUR.sub("", text), validate=True))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise Refused(
            f"{setting} is not the public key of a webhook. Copy it from SendGrid: Settings, Mail Settings, Event "
            "Webhook, Signature Verification; for mails that come in, from the security policy of Inbound Parse."
        )
    return key


class SignedStream:
    """Whether what comes in pieces is signed, without keeping any of them; without a key nothing is."""

    def __init__(self, key: PublicKey | None, signature: str, timestamp: str) -> None:
        self._key = key
        self._signature = signature
        self._hash = hashlib.sha256(timestamp.encode())

    def feed(self, chunk: bytes) -> None:
        """Take the next piece."""
        self._hash.update(chunk)

    def is_genuine(self) -> bool:
        """Whether the owner of the key has signed all that came; never raises."""
        if self._key is None:
            return False
        try:
            signature = b64decode(self._signature, validate=True)
            self._key.verify(signature, self._hash.digest(), ECDSA(Prehashed(SHA256())))
        except (InvalidSignature, Base64Error, ValueError):
            return False
        return True


def is_signed(key: PublicKey, body: bytes, signature: str, timestamp: str) -> bool:
    """Whether the owner of a key has signed these bytes; `signature` and `timestamp` are the headers, empty if absent.

    The bytes must be those that came, with their last line break. Never raises.
    """
    stream = SignedStream(key, signature, timestamp)
    stream.feed(body)
    return stream.is_genuine()
