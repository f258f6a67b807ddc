#!/bin/sh
# Writes the content of $1/1, $1/2 and so on as these files appear, and ends once $1/end exists or the
# folder is gone.
cat > /dev/null
n=1
while [ -d "$1" ]; do
  if [ -e "$1/$n" ]; then
    cat "$1/$n"
    n=$((n + 1))
  elif [ -e "$1/end" ]; then
    exit
  else
    sleep 0.05
  fi
done
