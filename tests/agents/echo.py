"""An agent that says what it was told five times over, a piece at a time."""

import sys
import time

message = sys.stdin.read()
for _ in range(5):
    sys.stdout.write(message)
    sys.stdout.flush()
    time.sleep(0.02)
