#!/usr/bin/env bash
# The message is on standard input. Whatever this prints goes to the visitor at once. Run it with
#   arizuko agent exec --folder acme --status -- examples/bash/agent.sh
set -euo pipefail
message=$(cat)
echo "status: reading it" >&2 # with --status the visitor sees "reading it"
case $message in
  *time*) date ;;
  *) printf 'You came by %s and said: %s\n' "$ARIZUKO_JID" "$message" ;;
esac
