#!/bin/sh
# Answers a message that begins with "long" with about 60 KB, and repeats any other message.
message=$(cat)
case $message in
  long*) ;;
  *)
    printf 'You said: **%s**' "$message"
    exit
    ;;
esac
printf '# About %s\n\n' "$message"
for part in $(seq 40); do
  printf 'Part %s: %s\n\n' "$part" "$(seq -s ' ' $((part * 400)) $((part * 400 + 270)))"
done
