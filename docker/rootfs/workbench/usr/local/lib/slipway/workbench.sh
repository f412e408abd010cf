# Sourced by the workbench's modes. One volume, /data, holds the work and what must last, so that the root file system may
# be read-only and the user any UID. What need not last is in RUN, off the volume: at the next start another UID may find
# it there, or the volume may be full.
# shellcheck shell=sh

# A platform may start a mode without the entry point.
# shellcheck source=/dev/null
. /usr/local/lib/slipway/shell.sh

STATE=/data/.slipway

fail() {
    echo "error: $1" >&2
    exit 1
}

# Succeed for a folder, made where it is missing, that takes another byte. A full disk still takes empty files.
can_write() {
    mkdir -p "$1" 2>/dev/null || return 1
    { printf 1 >"$1/.try.$$"; } 2>/dev/null && writable=yes || writable=no
    rm -f "$1/.try.$$"
    [ "${writable}" = yes ]
}

# Each process below keeps its settings in HOME; caches and temporary files go there where their own folder is closed.
open_volume() {
    require_volume
    export HOME=/data SHELL=/bin/bash
    /usr/local/lib/slipway/close-keys
    warn_of_closed_folder
    warn_of_foreign_variables
    take_variables_away
    # On a full volume this fails, and its owner still gets in to delete something.
    mkdir -p "${STATE}" 2>/dev/null || true
    for RUN in /tmp/slipway "/dev/shm/slipway-$(uname -n)" "${STATE}/run"; do
        (umask 0077 && can_write "${RUN}") && break
    done
    [ -w "${RUN}" ] || fail "there is no room for files that are being used: mount an empty folder at /tmp (--tmpfs=/tmp)"
    if ! can_write /tmp; then
        export TMPDIR="${STATE}/tmp"
        can_write "${TMPDIR}" || TMPDIR=${RUN}/tmp
        mkdir -p "${TMPDIR}"
    fi
}

require_volume() {
    [ -d /data ] || fail "/data is no folder: mount a volume there (--volume=NAME:/data)"
    [ ! -w /data ] || return 0
    case $(awk '$2 == "/data" { print $4 }' /proc/mounts) in
    ro | ro,*) fail "/data is mounted read-only: leave out :ro (--volume=NAME:/data), or readOnly in Kubernetes" ;;
    esac
    fail "/data cannot be written by UID $(id -u): mount a volume there (--volume=NAME:/data), start as the owner of the \
folder (--user=$(stat --format=%u /data):0), or give its group 0 the right to write (chgrp 0 FOLDER; chmod g+rwx FOLDER)"
}

# Name the first folder for settings that this UID cannot write. Docker makes those above a mount as root, which stay.
warn_of_closed_folder() {
    for folder in /data/.config /data/.jupyter /data/.ipython /data/.ssh /data/.local /data/.local/share \
        /data/.local/share/code-server /data/.local/share/code-server/extensions /data/.local/share/jupyter; do
        [ -d "${folder}" ] && [ ! -w "${folder}" ] || continue
        # A read-only mount, such as a Secret of Kubernetes', is meant to be one.
        case $(awk -v folder="${folder}" '$2 == folder { print $4 }' /proc/mounts) in ro | ro,*) continue ;; esac
        echo "warning: ${folder} cannot be written by UID $(id -u), so settings below it do not last; open it to group 0: \
docker exec --user $(stat --format=%u "${folder}"):0 CONTAINER sh -c 'chgrp -R 0 ${folder}; chmod -R g+rwX ${folder}'" >&2
        return
    done
}

# Name the variables by which other images choose the user: here the engine does.
warn_of_foreign_variables() {
    ignored=''
    for name in NB_UID NB_GID NB_USER NB_GROUP NB_UMASK CHOWN_HOME CHOWN_EXTRA GRANT_SUDO PUID PGID UMASK SUDO_PASSWORD; do
        ! printenv "${name}" >/dev/null || ignored="${ignored}, ${name}"
    done
    [ -z "${ignored}" ] || echo "warning: this image ignores ${ignored#, }: files are those of UID $(id -u), which \
--user=UID:0 changes, and of its group; nobody becomes root" >&2
}

# As the Jupyter images do: what runs in the server does not see these variables.
take_variables_away() {
    for name in $(printf %s "${JUPYTER_ENV_VARS_TO_UNSET:-}" | tr , ' '); do
        case ${name} in
        *[!A-Za-z0-9_]* | [0-9]*) fail "JUPYTER_ENV_VARS_TO_UNSET: '${name}' is no name of a variable: set it to names, with commas between" ;;
        esac
        unset "${name}"
    done
}

# A platform mounts the user's volume where its own images have HOME, unless it is told.
warn_without_volume() {
    [ -z "${NB_PREFIX:-}${JUPYTERHUB_API_TOKEN:-}" ] || grep -q ' /data[ /]' /proc/mounts ||
        echo "warning: no volume is mounted at /data: what is saved there ends with this container. Let the platform mount it there" >&2
}

# A credential that nobody knows yet.
random_credential() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}
