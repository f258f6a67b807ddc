"""Issues chat links as an agent does, with plain gRPC in Python and stubs generated from the protos.

Usage: mint.py <control host:port> <protos> <key> [folder suffix ...]. Prints one JSON line for each link.
"""

import importlib
import json
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import grpc
from grpc_tools import protoc

control, protos, key, *orders = sys.argv[1:]

with tempfile.TemporaryDirectory() as stubs:
    sources = [str(path) for path in Path(protos).rglob("*.proto")]
    well_known = str(files("grpc_tools") / "_proto")
    failed = protoc.main(
        ["protoc", f"-I{protos}", f"-I{well_known}", f"--python_out={stubs}", f"--grpc_python_out={stubs}", *sources]
    )
    assert not failed, "the protos do not compile"
    sys.path.insert(0, stubs)
    messages = importlib.import_module("arizuko.v1.token_pb2")
    services = importlib.import_module("arizuko.v1.token_pb2_grpc")

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
