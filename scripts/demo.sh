#!/bin/sh
# demo.sh BIN OUT [STUDY]: the demonstration, in a window where there is a screen, else on a virtual one as a picture.
set -eu
bin=$1 out=$2 study=${3:-}
here=$(dirname "$0")

set -- --out "$out"
[ -z "$study" ] || set -- "$study" "$@"
if [ "$(uname -s)" = Linux ] && [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    sh "$here/with-screen.sh" "$bin/napari-breast-ai" demo "$@" --no-wait
else
    "$bin/napari-breast-ai" demo "$@"
fi
