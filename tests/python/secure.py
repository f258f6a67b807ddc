"""Asks control for its health over TLS, with plain gRPC in Python: with and without a certificate.

Usage: secure.py <control host:port> <authority> <key> <certificate>. Prints one JSON line.
"""

import json
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

control = sys.argv[1]
authority, key, certificate = (Path(file).read_bytes() for file in sys.argv[2:])


def health(credentials):
    with grpc.secure_channel(control, credentials) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        try:
            status = check(health_pb2.HealthCheckRequest(), timeout=10).status
        except grpc.RpcError as error:
            return error.code().name
        return health_pb2.HealthCheckResponse.ServingStatus.Name(status)


print(
    json.dumps(
        {
            "health": health(grpc.ssl_channel_credentials(authority, key, certificate)),
            "stranger": health(grpc.ssl_channel_credentials(authority)),
        }
    )
)
