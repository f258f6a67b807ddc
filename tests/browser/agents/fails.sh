#!/bin/sh
# Begins an answer and dies.
cat >/dev/null
printf 'It began well'
exit 1
