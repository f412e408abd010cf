# What ENV of a Dockerfile cannot give: the umask, and other folders where a container cannot write to its volumes.
# Sourced by the entry point. For what `docker exec` starts: by bash (BASH_ENV, PROMPT_COMMAND), by sh (ENV), and by login
# shells (/etc/profile).
# shellcheck shell=sh

# Once: the processes below have it all, and what a user changes in one of them stays.
if [ -z "${SLIPWAY_ENVIRONMENT:-}" ]; then
    export SLIPWAY_ENVIRONMENT=set

    # The group may write what docker's own umask leaves to the owner: all UIDs share GID 0. Not what root installs.
    [ "$(umask)" != 0022 ] || [ "$(id -u)" = 0 ] || umask 0002

    if [ ! -w /tmp ] && mkdir -p /data/.slipway/tmp 2>/dev/null; then
        export TMPDIR=/data/.slipway/tmp
    fi
    slipway_caches=/tmp/cache
    [ ! -w /data ] || slipway_caches=/data/.cache
    if [ ! -w /cache ] && [ -w "${slipway_caches%/*}" ]; then
        for slipway_name in $(env | sed -n 's,^\([A-Za-z_]*\)=/cache\(/.*\)\?$,\1,p'); do
            eval "${slipway_name}=${slipway_caches}\${${slipway_name}#/cache}"
        done
    fi
    unset slipway_caches slipway_name
    [ -w /data ] || [ ! -w /tmp ] || [ "${HOME:-/data}" != /data ] || export HOME=/tmp
fi
