"""An agent that answers with at most the number of bytes that the message says, in lines that differ."""

import sys

left = int(sys.stdin.read())
number = 0
while True:
    line = f"{number} é😀\n".encode()
    if len(line) > left:
        break
    sys.stdout.buffer.write(line)
    left -= len(line)
    number += 1
