#!/bin/sh
# Install, through apt, the system libraries that napari's window needs. Does nothing where they are all present or
# where there is no apt (then the person is told what to install).
set -eu

PATH="$PATH:/usr/sbin:/sbin"

# What must be there, and the package that brings it: a shared library by its name (packages are renamed from one
# release to the next, libraries are not), a command, or a package itself.
needs="
libglib-2.0.so.0=libglib2.0-0 libdbus-1.so.3=libdbus-1-3 libfontconfig.so.1=libfontconfig1
libGL.so.1=libgl1 libEGL.so.1=libegl1 libxkbcommon-x11.so.0=libxkbcommon-x11-0
libxcb-cursor.so.0=libxcb-cursor0 libxcb-icccm.so.4=libxcb-icccm4 libxcb-image.so.0=libxcb-image0
libxcb-keysyms.so.1=libxcb-keysyms1 libxcb-render-util.so.0=libxcb-render-util0 libxcb-shape.so.0=libxcb-shape0
libxcb-xinerama.so.0=libxcb-xinerama0
xvfb-run=xvfb xauth=xauth
libgl1-mesa-dri=libgl1-mesa-dri fonts-dejavu-core=fonts-dejavu-core
"

[ "$(uname -s)" = Linux ] || exit 0

libraries=$(ldconfig -p 2>/dev/null || true)
missing=""
for need in $needs; do
    what=${need%%=*} package=${need#*=}
    case $what in
        *.so.*) printf '%s' "$libraries" | grep -q "$what " && continue ;;
        xvfb-run | xauth) command -v "$what" >/dev/null 2>&1 && continue ;;
        *)
            command -v dpkg-query >/dev/null 2>&1 || continue
            dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' && continue
            ;;
    esac
    missing="$missing $package"
done
# Debian splits venv's pip off Python itself.
"${PYTHON:-python3}" -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "Please install these libraries with your package manager:$missing" >&2
    exit 1
fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "As root, please run: apt-get install$missing" >&2; exit 1; }
    as_root=sudo
fi
echo "Installing system packages:$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086  # the list is meant to be split
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
