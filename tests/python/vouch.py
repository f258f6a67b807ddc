"""Makes a key, and a JWT that says who a visitor is, as a site's server does.

Usage: vouch.py <algorithm> <claims in JSON>. Prints JSON: the `key` that checks the JWT (a secret, or a public key
in PEM), and the `jwt`.
"""

import json
import secrets
import sys

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def main(algorithm: str, claims: str) -> None:
    if algorithm.startswith("HS"):
        private = public = secrets.token_hex(32)
    else:
        private = {
            "RS256": lambda: rsa.generate_private_key(65537, 2048),
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }[algorithm]()
        public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    token = jwt.encode(json.loads(claims), private, algorithm)
    print(json.dumps({"key": public, "jwt": token}))


main(*sys.argv[1:])
