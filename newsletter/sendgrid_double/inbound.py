"""What SendGrid's Inbound Parse would post of a mail: taken apart or whole, and signed where there is a key."""

from __future__ import annotations

import base64
import secrets
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.client import HTTPException

import orjson
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from newsletter.providers.sendgrid.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER


@dataclass(frozen=True)
class InboundPost:
    """A request to the webhook: its headers and its body."""

    headers: Mapping[str, str]
    body: bytes


def write_inbound(
    mail: bytes,
    *,
    return_path: str,
    recipient: str,
    spf: str = "none",
    dkim: str = "none",
    whole: bool = False,
    key: EllipticCurvePrivateKey | None = None,
    timestamp: str = "1762160400",
) -> InboundPost:
    """The post about a mail in RFC 5322 bytes; `dkim` is written as SendGrid does, `{@example.org : pass}`."""
    message = message_from_bytes(mail, policy=policy.default)
    assert isinstance(message, EmailMessage)
    envelope = orjson.dumps({"to": [recipient], "from": return_path})
    said = {"envelope": envelope, "SPF": spf.encode(), "dkim": dkim.encode()}
    said |= {"from": str(message["From"]).encode(), "to": str(message["To"]).encode()}
    said |= {"subject": str(message["Subject"] or "").encode(), "sender_ip": b"192.0.2.1"}
    parts = [_part(name, value) for name, value in said.items()]
    parts += [_part("email", mail)] if whole else _taken_apart(mail, message)
    boundary = f"xYzZY{secrets.token_hex(8)}"
    body = b"".join(f"--{boundary}\r\n".encode() + part for part in parts) + f"--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    if key is not None:
        signature = base64.b64encode(key.sign(timestamp.encode() + body, ECDSA(SHA256()))).decode()
        headers |= {SIGNATURE_HEADER: signature, TIMESTAMP_HEADER: timestamp}
    return InboundPost(headers, body)


def post_inbound(url: str, post: InboundPost) -> int:
    """Post it to a webhook; gives the status of the answer, 0 when none came."""
    request = urllib.request.Request(url, post.body, dict(post.headers))  # noqa: S310 (only this machine may ask for it)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, HTTPException):
        return 0


def _taken_apart(mail: bytes, message: EmailMessage) -> list[bytes]:
    head = mail.replace(b"\r\n", b"\n").partition(b"\n\n")[0] + b"\n"
    attachments = [part for part in message.iter_attachments() if isinstance(part, EmailMessage)]
    parts = [_part("headers", head), _part("attachments", str(len(attachments)).encode())]
    charsets = {"to": "UTF-8", "subject": "UTF-8", "from": "UTF-8"}
    for name, kind in (("text", "plain"), ("html", "html")):
        body = message.get_body((kind,))
        if isinstance(body, EmailMessage):
            charsets[name] = body.get_content_charset("utf-8")
            parts.append(_part(name, bytes(body.get_payload(decode=True) or b"")))
    parts.append(_part("charsets", orjson.dumps(charsets)))
    for number, attachment in enumerate(attachments, 1):
        content = bytes(attachment.get_payload(decode=True) or b"")
        name = f'attachment{number}"; filename="{attachment.get_filename() or "none"}'
        parts.append(_part(name, content, attachment.get_content_type()))
    return parts


def _part(name: str, content: bytes, kind: str = "") -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"\r\n' + (f"Content-Type: {kind}\r\n" if kind else "")
    return head.encode() + b"\r\n" + content + b"\r\n"
