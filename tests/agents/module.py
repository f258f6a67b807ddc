"""An agent that uses the module in examples/python and takes steps from a test, over one connection for each turn.

Usage: module.py <host:port> <concurrency> [--plain]. It talks with the test as stepped.py does. Its
steps are {"out": base64}, {"status": text}, {"message": text}, {"usage": [input, output]},
{"handoff": folder, "note": text}, {"respond": arguments}, {"speak": text}, {"issue": folder},
{"block": seconds}, {"exit": code} and {"return": text or texts}; code 1 raises a Failure, code 2
SystemExit. With --plain its handler is a function, not a coroutine.
"""

import asyncio
import base64
import json
import os
import socket
import sys
import time

from arizuko_agent import Agent, ControlError, Failure

host, port = sys.argv[1].split(":")


def started(turn):
    about = {"ARIZUKO_TURN": turn.turn_id, "ARIZUKO_JID": turn.jid, "attempt": turn.attempt}
    given = base64.b64encode(turn.content).decode()
    return json.dumps({"pid": os.getpid(), "environment": about, "input": given}).encode() + b"\n"


def go_on(line, turn, reply):
    """Takes a step. Returns whether another may follow."""
    step = json.loads(line)
    if "out" in step:
        reply.write(base64.b64decode(step["out"]).decode())
    if "status" in step:
        reply.status(step["status"])
    if "message" in step:
        reply.message(step["message"])
    if "usage" in step:
        reply.usage(*step["usage"])
    if "handoff" in step:
        reply.hand_off(step["handoff"], step["note"])
    if "respond" in step:
        reply.respond(**step["respond"])
    if "speak" in step:
        agent.control.send_message(turn.conversation, step["speak"])
    if "issue" in step:
        try:
            reply.write(f"{agent.control.issue_chat_link(step['issue']).jid}\n")
        except ControlError as error:
            reply.write(f"{error.code} {error.reason} {str((error.retry_after or 0) > 0).lower()}\n")
    if "block" in step:
        time.sleep(step["block"])
    match step.get("exit"):
        case 1:
            raise Failure("That is beyond me.")
        case 2:
            sys.exit("a secret of the agent's")
    return "exit" not in step and "return" not in step


async def each(pieces):
    for piece in pieces:
        yield piece


async def answer(turn, reply):
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 20)
    try:
        writer.write(started(turn))
        while go_on(line := await reader.readline(), turn, reply):
            writer.write(b"{}\n")
        said = json.loads(line).get("return")
        return each(said) if isinstance(said, list) else said
    finally:
        writer.close()


def answer_plainly(turn, reply):
    with socket.create_connection((host, port)) as test, test.makefile("rwb", 0) as lines:
        lines.write(started(turn))
        while go_on(line := lines.readline(), turn, reply):
            lines.write(b"{}\n")
        return json.loads(line).get("return")


handler = answer_plainly if "--plain" in sys.argv else answer
agent = Agent(handler, name="module", concurrency=int(sys.argv[2]))
agent.run()
