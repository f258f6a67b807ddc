"""Sends compressed messages to control: small ones, some that decode to far more than control takes, and one
that is no message.

Usage: compress.py <control host:port> <protos> <key>. Prints one JSON line for each call.
"""

import json
import sys

import grpc
import stubs

control, protos, key = sys.argv[1:]
(tokens, token_services), (agents, agent_services) = stubs.load(protos, "token"), stubs.load(protos, "agent")
bomb = "a" * (100 << 20)
metadata = [("authorization", f"Bearer {key}")]


def tell(call):
    try:
        print(json.dumps({"answer": call()}))
    except grpc.RpcError as error:
        print(json.dumps({"code": error.code().name, "details": error.details()}))


with grpc.insecure_channel(control, compression=grpc.Compression.Gzip) as channel:
    issue = token_services.TokenServiceStub(channel).IssueChatLink
    attach = channel.stream_stream(
        "/arizuko.v1.AgentService/Attach", response_deserializer=agents.AttachResponse.FromString
    )

    def link(context):
        return issue(tokens.IssueChatLinkRequest(options={"context": context}), metadata=metadata, timeout=20).jid

    def talk(message):
        hello = agents.AttachRequest(hello=agents.Hello(name="hello" * 10)).SerializeToString()
        answers = attach(iter([hello, message]), metadata=metadata, timeout=20)
        print(json.dumps({"answer": next(answers).WhichOneof("message")}))
        for _ in answers:
            pass

    tell(lambda: link("a" * 15_000))
    tell(lambda: link(bomb))
    tell(lambda: talk(agents.AttachRequest(hello=agents.Hello(name=bomb)).SerializeToString()))
    tell(lambda: talk(b"no message"))
