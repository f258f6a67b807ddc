"""Asks control for its health and its services, with plain gRPC in Python.

Usage: health.py <control host:port>. Prints one JSON line.
"""

import json
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from google.protobuf.descriptor_pool import DescriptorPool

with grpc.insecure_channel(sys.argv[1]) as channel:
    health = health_pb2_grpc.HealthStub(channel)
    status = {
        name: health_pb2.HealthCheckResponse.ServingStatus.Name(
            health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10).status
        )
        for name in ["", "arizuko.v1.GatewayService", "arizuko.v1.AgentService"]
    }
    database = ProtoReflectionDescriptorDatabase(channel)
    pool = DescriptorPool(database)
    services = sorted(database.get_services())
    methods = [method.name for method in pool.FindServiceByName("arizuko.v1.TokenService").methods]
    print(json.dumps({"health": status, "services": services, "methods": methods}))
