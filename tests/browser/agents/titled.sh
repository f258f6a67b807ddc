#!/bin/sh
# Names the conversation after the message.
message=$(cat)
echo "title: About $message" >&2
printf 'You said: **%s**' "$message"
