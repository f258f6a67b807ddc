#!/bin/sh
# Repeats the message, in Markdown.
printf 'You said: **%s**' "$(cat)"
