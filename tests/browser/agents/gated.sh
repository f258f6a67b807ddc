#!/bin/sh
# Writes the first half of an answer, and the second once the file $1 exists.
message=$(cat)
printf 'First half for *%s*.\n\n' "$message"
while [ ! -e "$1" ]; do sleep 0.05; done
printf 'Second half for *%s*.' "$message"
