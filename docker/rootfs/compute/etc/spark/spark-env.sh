# Sourced by each of Spark's programs before Java starts: what Java takes for granted and a container may lack.
# shellcheck shell=bash

# Java loads libraries from its temporary folder. A read-only root has none to write in, a tmpfs none to run from.
holds_programs() {
    local probe=$1/spark-probe.$$
    { mkdir -p "$1" && echo exit >"$probe" && chmod +x "$probe" && "$probe"; } 2>/dev/null
    local answer=$?
    rm -f "$probe"
    return "$answer"
}

temporary=${TMPDIR:-/tmp}
holds_programs "$temporary" || temporary=/data/.slipway/tmp
if ! holds_programs "$temporary"; then
    echo "error: Spark needs a folder for temporary files that is not mounted noexec: mount a volume (--volume=NAME:/data)" >&2
    exit 1
fi
export SPARK_LOCAL_DIRS=${SPARK_LOCAL_DIRS:-$temporary}
export SPARK_SUBMIT_OPTS="-Djava.io.tmpdir=$temporary ${SPARK_SUBMIT_OPTS:-}"

# A name for the user: Hadoop refuses a UID that the password database does not know.
if ! getent passwd "$(id -u)" >/dev/null; then
    export LD_PRELOAD=libnss_wrapper.so NSS_WRAPPER_GROUP=/etc/group NSS_WRAPPER_PASSWD=$temporary/spark-passwd.$$
    { cat /etc/passwd && echo "user:x:$(id -u):0:user:$HOME:/bin/sh"; } >"$NSS_WRAPPER_PASSWD"
fi

# An address for the machine's own name: without network nothing knows it, and Spark works on this machine alone.
if ! getent hosts "$(uname -n)" >/dev/null; then
    export LD_PRELOAD=libnss_wrapper.so NSS_WRAPPER_HOSTS=$temporary/spark-hosts.$$ SPARK_LOCAL_IP=127.0.0.1
    echo "127.0.0.1 localhost $(uname -n)" >"$NSS_WRAPPER_HOSTS"
fi
