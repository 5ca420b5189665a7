"""A webhook's key pair for tests, and what it signs."""

from __future__ import annotations

from base64 import b64encode

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from newsletter.providers.sendgrid.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER

PRIVATE = ec.derive_private_key(7, ec.SECP256R1())


def as_text(key: ec.EllipticCurvePublicKey) -> str:
    """A public key as SendGrid shows it."""
    return b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def sign(key: ec.EllipticCurvePrivateKey, body: bytes, timestamp: str) -> str:
    """The signature of a post."""
    return b64encode(key.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))).decode()


def signed_headers(body: bytes, timestamp: str = "1600112502") -> dict[str, str]:
    """The headers of a post that `PRIVATE` has signed."""
    return {SIGNATURE_HEADER: sign(PRIVATE, body, timestamp), TIMESTAMP_HEADER: timestamp}


def as_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as it stands in a file."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
