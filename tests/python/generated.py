"""Talks to a chat link with a client that openapi-python-client has generated from the gateway's contract.

Usage: generated.py <gateway> <token> <the client's folder>. Prints a line of JSON for each answer.
"""

import importlib
import json
import sys

gateway, token, folder = sys.argv[1:]
sys.path.insert(0, folder)
arizuko = importlib.import_module("arizuko_client")
models = importlib.import_module("arizuko_client.models")


def call(operation, *arguments, **more):
    api = importlib.import_module(f"arizuko_client.api.default.{operation}")
    answer = api.sync(token, *arguments, client=arizuko.Client(base_url=gateway), **more)
    print(json.dumps({"type": type(answer).__name__, "answer": answer.to_dict()}))
    return answer


posted = call("send_message", body=models.NewMessage(content="hello & you"), wait=20)
call("get_turn", posted.turn_id)
call("get_turn_status", posted.turn_id)
call("get_conversation", posted.conversation)
call("get_config")
call("get_turn", "AAAAAAAAAAAAAAAAAAAAAA")
