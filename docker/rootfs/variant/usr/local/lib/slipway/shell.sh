# What ENV of a Dockerfile cannot give: the umask, and other folders where a container cannot write to its volumes.
# Sourced by the entry point. For what `docker exec` starts: by bash (BASH_ENV, PROMPT_COMMAND), by sh (ENV), and by login
# shells (/etc/profile).
# shellcheck shell=sh

# Once: the processes below have it all, and what a user changes in one of them stays.
if [ -z "${SLIPWAY_SHELL:-}" ]; then
    export SLIPWAY_SHELL=set

    # The group may write what docker's own umask leaves to the owner: all UIDs share GID 0. Not what root installs.
    [ "$(umask)" != 0022 ] || [ "$(id -u)" = 0 ] || umask 0002

    # A language that the image lacks takes UTF-8 away, too, and so does an empty one.
    [ -n "${LC_ALL:-${LC_CTYPE:-${LANG:-}}}" ] || export LANG=C.UTF-8
    case ${LC_ALL:-${LC_CTYPE:-${LANG:-C}}} in
    C | POSIX | C.UTF-8 | C.utf8) ;;
    *) [ -z "$(locale charmap 2>&1 >/dev/null)" ] || export LC_ALL=C.UTF-8 ;;
    esac

    # A path that ends in /. is a folder, too.
    if [ ! -w /tmp/. ] && mkdir -p /data/.slipway/tmp 2>/dev/null; then
        export TMPDIR=/data/.slipway/tmp
    fi
    if [ ! -w /cache/. ]; then
        slipway_place=/tmp/
        [ ! -w /data/. ] || slipway_place=/data/.
        for slipway_name in $(env | sed -n 's,^\([A-Za-z_][A-Za-z_0-9]*\)=/cache\(/.*\)\?$,\1,p'); do
            slipway_value=$(printenv "${slipway_name}") || continue
            # What is there can be read, such as models on a volume that is mounted read-only.
            [ "${slipway_value}" != /cache ] && [ -e "${slipway_value}" ] && continue
            [ ! -w "${slipway_place}" ] || eval "${slipway_name}=${slipway_place}\${slipway_value#/}"
        done
        unset slipway_place slipway_name slipway_value
    fi
    # Google's clusters mount the driver's libraries and programs here, where no loader looks.
    if [ -d /usr/local/nvidia/lib64 ]; then
        export PATH="${PATH}:/usr/local/nvidia/bin" LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+${LD_LIBRARY_PATH}:}/usr/local/nvidia/lib64"
    fi
    # uv's cache is on a volume, and a link cannot lead from there into an environment.
    export UV_LINK_MODE="${UV_LINK_MODE:-copy}"
    # Such as the home of the host's user, by -e HOME.
    [ -w "${HOME:-}/." ] || export HOME=/data
    [ -w "${HOME}/." ] || [ ! -w /tmp/. ] || export HOME=/tmp

    # git and ssh refuse to work for a UID without a name, and ssh looks for keys in the home that is written beside it,
    # which for nobody is none. A workbench has the library that gives them.
    for slipway_name in /usr/lib/*/libnss_wrapper.so; do
        [ -e "${slipway_name}" ] || continue
        slipway_value=$(getent passwd "$(id -u)" | cut -d: -f6)
        if [ "${slipway_value}" != /data ] && [ ! -w "${slipway_value}/." ]; then
            slipway_place=/tmp
            [ -w /tmp/. ] || slipway_place=/dev/shm
            slipway_place=${slipway_place}/slipway-passwd.$(id -u)
            [ -s "${slipway_place}" ] || {
                slipway_value=$(id -un 2>/dev/null) || slipway_value=app
                { echo "${slipway_value}:x:$(id -u):$(id -g):app:${HOME:-/data}:/bin/bash" && grep -v "^${slipway_value}:" /etc/passwd; } \
                    >"${slipway_place}.$$" && mv -f "${slipway_place}.$$" "${slipway_place}"
            } 2>/dev/null
            [ ! -s "${slipway_place}" ] ||
                export LD_PRELOAD=libnss_wrapper.so NSS_WRAPPER_PASSWD="${slipway_place}" NSS_WRAPPER_GROUP=/etc/group
        fi
    done
    unset slipway_name slipway_place slipway_value

    # sh has read it; to programs ENV is a word such as production.
    [ "${ENV:-}" != /usr/local/lib/slipway/shell.sh ] || unset ENV
fi

# bash keeps its history only when it ends by itself, and a container's end is not that: at each prompt. Another UID, such
# as root by `docker exec`, has closed its file to others.
case $- in
*i*)
    [ -z "${BASH-}" ] || {
        [ ! -e "${HISTFILE-}" ] || [ -w "${HISTFILE}" ] || { HISTFILE=${HISTFILE}.$(id -u) && history -r; }
        history -a
    } 2>/dev/null || true
    ;;
esac

# bash calls it for a command that it does not find.
command_not_found_handle() {
    slipway_hint=$(/usr/local/lib/slipway/instead "$1")
    echo "${0##*/}: $1: command not found${slipway_hint:+. ${slipway_hint}}" >&2
    return 127
}
