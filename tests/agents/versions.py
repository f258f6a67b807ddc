"""An agent and a gateway of another version: answers a message, and prints what a reader gets.

    versions.py CONTROL AGENT_KEY GATEWAY_KEY TOKEN [--newer]

The contract is that of the stubs in PYTHONPATH. With --newer, each message has a field that control
doesn't know, and the agent also says things that control doesn't know.
"""

import importlib
import json
import queue
import sys
import threading

import grpc
from arizuko.v1 import agent_pb2, agent_pb2_grpc, gateway_pb2, gateway_pb2_grpc

CONTROL, AGENT_KEY, GATEWAY_KEY, TOKEN = sys.argv[1:5]
# Field 15000, which the contract doesn't have, with the text "new".
UNKNOWN = b"\xc2\xa9\x07\x03new" if "--newer" in sys.argv else b""
WAIT = 15


def moved(name, file):
    """Returns a message that has moved from gateway.proto to another file."""
    return getattr(gateway_pb2, name, None) or getattr(importlib.import_module(f"arizuko.v1.{file}_pb2"), name)


def say(message):
    message.MergeFromString(UNKNOWN)
    return message


def key(secret):
    return [("authorization", f"Bearer {secret}")]


class Stream:
    """A stream in both directions."""

    def __init__(self, method, secret):
        self.requests = queue.Queue()
        self.responses = method(iter(self.requests.get, None), metadata=key(secret), timeout=WAIT)

    def send(self, **message):
        self.requests.put(say(self.request(**message)))


class Agent(Stream):
    request = agent_pb2.AttachRequest

    def run(self):
        """Answers one turn."""
        self.send(hello=say(agent_pb2.Hello(folder="acme", name="another version", credit=1)))
        for response in self.responses:
            kind = response.WhichOneof("message")
            if kind == "turn":
                of = {"turn_id": response.turn.turn_id, "attempt": response.turn.attempt}
                if UNKNOWN:
                    self.send()
                delta = agent_pb2.AgentDelta(id="m1", text="You said: " + response.turn.content.decode())
                self.send(accept=say(agent_pb2.Accept(**of)))
                self.send(append=say(agent_pb2.Append(**of, seq=1, frames=[say(agent_pb2.AgentFrame(delta=delta))])))
                self.send(finish=say(agent_pb2.Finish(**of, seq=2)))
            elif kind == "appended" and response.appended.finished:
                self.requests.put(None)
                return


class Watch(Stream):
    request = moved("WatchRequest", "watch")


channel = grpc.insecure_channel(CONTROL)
agent = threading.Thread(target=Agent(agent_pb2_grpc.AgentServiceStub(channel).Attach, AGENT_KEY).run)
agent.start()

gateway = gateway_pb2_grpc.GatewayServiceStub(channel)
access = moved("Access", "conversation")(token=TOKEN, kind="TOKEN_KIND_CHAT")
link = gateway.ResolveToken(say(gateway_pb2.ResolveTokenRequest(access=access)), metadata=key(GATEWAY_KEY))
message = gateway_pb2.PostMessageRequest(access=access, content=b"hello")
posted = gateway.PostMessage(say(message), metadata=key(GATEWAY_KEY))
watch = Watch(gateway.Watch, GATEWAY_KEY)
watch.send(subscribe=say(Watch.request.Subscribe(
    subscription=1, access=access, conversation=posted.conversation, credit=100)))
frames = []
while "turn_done" not in frames:
    for event in next(watch.responses).events:
        if event.WhichOneof("event") == "frame":
            frames.append(event.frame.WhichOneof("body"))
agent.join(WAIT)
turn = gateway.GetTurn(
    say(gateway_pb2.GetTurnRequest(access=access, turn_id=posted.turn_id)), metadata=key(GATEWAY_KEY)
).turn
print(json.dumps({
    "name": link.name,
    "frames": frames,
    "user": turn.user.content,
    "assistant": [said.content for said in turn.assistant],
    "error": turn.error,
}))
