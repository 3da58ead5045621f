#!/bin/sh
# Run a command that opens windows: on a virtual screen where Linux offers Xvfb, else on the real one.
set -eu
if [ "$(uname -s)" = Linux ] && command -v xvfb-run >/dev/null 2>&1; then
    exec xvfb-run -a -s "-screen 0 1600x1000x24" "$@"
fi
exec "$@"
