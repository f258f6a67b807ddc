"""Issues chat links as an agent does, with plain gRPC in Python and stubs generated from the protos.

Usage: mint.py <control host:port> <protos> <key> [folder suffix ...]. Prints one JSON line for each link.
"""

import json
import sys

import grpc
import stubs

control, protos, key, *orders = sys.argv[1:]
messages, services = stubs.load(protos, "token")

with grpc.insecure_channel(control) as channel:
    tokens = services.TokenServiceStub(channel)
    for folder, suffix in zip(orders[::2], orders[1::2]):
        request = messages.IssueChatLinkRequest(folder=folder, jid_suffix=suffix)
        try:
            issued = tokens.IssueChatLink(request, metadata=[("authorization", f"Bearer {key}")], timeout=10)
        except grpc.RpcError as error:
            print(json.dumps({"code": error.code().name, "details": error.details()}))
        else:
            print(json.dumps({"token": issued.token, "url": issued.url, "jid": issued.jid, "token_id": issued.token_id}))
