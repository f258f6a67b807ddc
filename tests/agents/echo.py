"""An agent that repeats the message five times, in five pieces."""

import sys
import time

message = sys.stdin.read()
for _ in range(5):
    sys.stdout.write(message)
    sys.stdout.flush()
    time.sleep(0.02)
