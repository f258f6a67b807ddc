"""Verifies a signature with Standard Webhooks' own library.

Usage: verify.py <secret> <body> <name=value>…, the latter the request's headers.
"""

import sys

from standardwebhooks import Webhook

secret, body, *headers = sys.argv[1:]
Webhook(secret).verify(body, dict(header.split("=", 1) for header in headers))
