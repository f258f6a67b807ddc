"""Plays a control of an earlier version, which lacks GatewayService's Call. Passes all other calls on to CONTROL.

    earlier_control.py CONTROL

Prints the address at which it listens.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

HANDED_ON = {"authorization", "grpc-status-details-bin"}
control = grpc.insecure_channel(sys.argv[1])


def handed_on(metadata):
    return [(name, value) for name, value in metadata if name in HANDED_ON]


class EarlierControl(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method.endswith("/Call"):
            return None
        pass_on = control.unary_unary(call.method)

        def answer(request, context):
            try:
                return pass_on(request, metadata=handed_on(call.invocation_metadata))
            except grpc.RpcError as refusal:
                context.set_trailing_metadata(handed_on(refusal.trailing_metadata()))
                context.abort(refusal.code(), refusal.details())

        return grpc.unary_unary_rpc_method_handler(answer)


server = grpc.server(ThreadPoolExecutor())
server.add_generic_rpc_handlers([EarlierControl()])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(f"http://127.0.0.1:{port}", flush=True)
server.wait_for_termination()
