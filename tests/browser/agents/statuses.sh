#!/bin/sh
# Says what it does, and goes on once the files $1/1 and $1/2 exist.
cat > /dev/null
echo 'status: Reads the shelf' >&2
while [ ! -e "$1/1" ]; do sleep 0.05; done
printf 'Seven '
while [ ! -e "$1/2" ]; do sleep 0.05; done
echo 'status: Counts the cups' >&2
echo 'status: Writes it down' >&2
sleep 0.2
printf 'cups.'
