"""A program that takes steps from a test, over a connection to it.

First it sends its process id, environment and input as one JSON line. Then it reads one JSON line
for each step and answers it with {}: {"out": base64} and {"err": base64} write, {"ignore": true}
ignores SIGTERM, {"leave": command} starts a command of the shell. {"exit": code} exits without an answer. It also exits when the connection closes.
With --deaf it does not read its input.
"""

import base64
import json
import os
import signal
import socket
import subprocess
import sys

READ_INPUT = "--deaf" not in sys.argv

host, port = sys.argv[1].split(":")
test = socket.create_connection((host, int(port)))
given = sys.stdin.buffer.read() if READ_INPUT else b""
started = {
    "pid": os.getpid(),
    "environment": dict(os.environ),
    "input": base64.b64encode(given).decode(),
}
test.sendall(json.dumps(started).encode() + b"\n")
for line in test.makefile("rb"):
    step = json.loads(line)
    if "out" in step:
        sys.stdout.buffer.write(base64.b64decode(step["out"]))
        sys.stdout.buffer.flush()
    if "err" in step:
        sys.stderr.buffer.write(base64.b64decode(step["err"]))
        sys.stderr.buffer.flush()
    if "ignore" in step:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "leave" in step:
        subprocess.Popen(step["leave"], shell=True)
    if "exit" in step:
        sys.exit(step["exit"])
    test.sendall(b"{}\n")
