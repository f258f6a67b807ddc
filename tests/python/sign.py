"""Sends deliveries like those of services that sign them. Signs with a service's own library where there is one.

Usage: sign.py [<sender> <url> <secret> ...]. Prints a line for each sender: the statuses and reasons of the
answers to a delivery, to that delivery with another body, and to a delivery that is signed with another secret.
"""

import base64
import hashlib
import hmac
import sys
import time
from datetime import datetime, timezone
from urllib.parse import urlencode

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook
from stripe import WebhookSignature
from twilio.request_validator import RequestValidator

OTHER = "whsec_b3RoZXIgc2VjcmV0"


def sign(sender: str, url: str, secret: str) -> tuple[str, str, dict[str, str]]:
    """Returns the URL, the body and the headers of a delivery."""
    now = str(int(time.time()))
    body = '{"text": "caf\u00e9 \U0001f600"}'
    code = hmac.new(secret.encode(), body.encode(), hashlib.sha256)
    headers = {"content-type": "application/json"}
    match sender:
        case "standard":
            sent = datetime.fromtimestamp(int(now), tz=timezone.utc)
            signature = Webhook(secret).sign("msg_1", sent, body)
            headers |= {"webhook-id": "msg_1", "webhook-timestamp": now, "webhook-signature": signature}
        case "stripe":
            headers["stripe-signature"] = WebhookSignature.generate_signature_header(body, secret)
        case "slack":
            signature = SignatureVerifier(secret).generate_signature(timestamp=now, body=body) or ""
            headers |= {"x-slack-request-timestamp": now, "x-slack-signature": signature}
        case "twilio":
            parameters = {"Body": "caf\u00e9 & more", "From": "+14158675309", "Empty": ""}
            body, headers["content-type"] = urlencode(parameters), "application/x-www-form-urlencoded"
            headers["x-twilio-signature"] = RequestValidator(secret).compute_signature(url, parameters)
        case "twilio-json":
            url = f"{url}?bodySHA256={RequestValidator(secret).compute_hash(body)}"
            headers["x-twilio-signature"] = RequestValidator(secret).compute_signature(url, {})
        case "github":
            headers["x-hub-signature-256"] = f"sha256={code.hexdigest()}"
        case "linear":
            headers["linear-signature"] = code.hexdigest()
        case "shopify":
            headers["x-shopify-hmac-sha256"] = base64.b64encode(code.digest()).decode()
        case "discord":
            key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(secret.encode()).digest())
            headers["x-signature-ed25519"] = key.sign(f"{now}{body}".encode()).hex()
            headers["x-signature-timestamp"] = now
        case "zoom":
            code = hmac.new(secret.encode(), f"v0:{now}:{body}".encode(), hashlib.sha256)
            headers |= {"x-zm-request-timestamp": now, "x-zm-signature": f"v0={code.hexdigest()}"}
        case "gitlab":
            headers["x-gitlab-token"] = secret
        case _:
            raise SystemExit(f"no such sender: {sender}")
    return url, body, headers


with httpx.Client() as web:
    orders = iter(sys.argv[1:])
    for sender, url, secret in zip(orders, orders, orders, strict=True):
        print(sender, end="")
        for used, more in [(secret, ""), (secret, "x"), (OTHER, "")]:
            target, body, headers = sign(sender, url, used)
            answer = web.post(target, content=(body + more).encode(), headers=headers)
            print("", answer.status_code, answer.json().get("reason", ""), end="")
        print()
