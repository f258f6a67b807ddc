"""Solves challenges with ALTCHA's own library.

Usage: solve.py <challenge in JSON> ... Prints a line for each: what to send as `altcha`.
"""

import json
import sys

from altcha import Challenge, Payload, solve_challenge

for text in sys.argv[1:]:
    challenge = Challenge.from_dict(json.loads(text))
    solution = solve_challenge(challenge)
    if solution is None:
        raise SystemExit("no solution was found in time")
    print(Payload(challenge, solution).to_base64())
