# Sourced by the workbench's modes. One volume, /data, holds the work and all state, so that the root file system may
# be read-only and the user any UID with GID 0.
# shellcheck shell=sh

STATE=/data/.slipway

fail() {
    echo "error: $1" >&2
    exit 1
}

# Each process below keeps its settings in HOME; caches and temporary files go there where their own folder is closed.
open_volume() {
    [ -w /data ] || fail "/data cannot be written by UID $(id -u): mount a volume there (--volume=NAME:/data); of a \
folder of the host, give group 0 the right to write"
    export HOME=/data SHELL=/bin/bash
    mkdir -p "${STATE}"
    if [ ! -w /tmp ]; then
        export TMPDIR="${STATE}/tmp"
        mkdir -p "${TMPDIR}"
    fi
    if [ ! -w /cache ]; then
        export XDG_CACHE_HOME="${HOME}/.cache" HF_HOME="${HOME}/.cache/huggingface" MPLCONFIGDIR="${HOME}/.cache/matplotlib"
    fi
}

# Print this user's line of the password database: programs such as git and ssh refuse to work for a UID without one.
own_entry() {
    echo "app:x:$(id -u):0:app:${HOME}:${SHELL}"
}

# Let the processes below see own_entry in place of the image's. Only root could write it to /etc/passwd.
name_user() {
    { own_entry && grep -v '^app:' /etc/passwd; } >"${STATE}/passwd.$$"
    mv "${STATE}/passwd.$$" "${STATE}/passwd"
    export LD_PRELOAD=libnss_wrapper.so NSS_WRAPPER_PASSWD="${STATE}/passwd" NSS_WRAPPER_GROUP=/etc/group
}

# A UID of the platform's choice has no name.
name_unknown_user() {
    getent passwd "$(id -u)" >/dev/null || name_user
}

# A credential that nobody knows yet.
random_credential() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}
