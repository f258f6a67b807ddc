"""Checks answers of the HTTP API against the schemas of its contract.

Usage: contract.py <gateway> <answers>, the latter in JSON: pairs of a schema's name and a value.
Prints a line for each part of a value that its schema lacks or describes differently.
"""

import json
import sys

import httpx
from jsonschema import Draft202012Validator

contract = httpx.get(f"{sys.argv[1]}/openapi.json").raise_for_status().json()
for name, value in json.loads(sys.argv[2]):
    schema = {"$ref": f"#/components/schemas/{name}", "unevaluatedProperties": False}
    validator = Draft202012Validator({**schema, "components": contract["components"]})
    for error in validator.iter_errors(value):
        print(f"{name} {error.json_path}: {error.message}")
