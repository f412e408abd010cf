# Sourced by the entry point: warns of what the container was given and programs fail or crawl with.
# shellcheck shell=sh

# Debian has names such as US/Eastern apart. A rule of its own, such as UTC-3, has a digit.
case ${TZ:-0} in
[:/]* | *[0-9]*) ;;
*) [ -e "/usr/share/zoneinfo/${TZ}" ] || echo "warning: no time zone ${TZ}: set TZ to a name such as America/New_York; Debian has old \
names in the package tzdata-legacy" >&2 ;;
esac

# Docker makes the folder of a mount as root, and root's commands leave theirs. A read-only mount is meant to be one.
for folder in /cache/* $(awk '$2 ~ "^/data/" { print $2 }' /proc/mounts); do
    case ${folder} in /data/*) volume=/data ;; *) volume=/cache ;; esac
    [ -w "${volume}/." ] && [ -d "${folder}" ] && [ ! -w "${folder}" ] && [ "${folder}" != /cache/lost+found ] || continue
    case $(awk -v folder="${folder}" '$2 == folder { print $4 }' /proc/mounts) in ro | ro,*) continue ;; esac
    echo "warning: ${folder} cannot be written by UID $(id -u): mount the volume at ${volume}, or open this folder to group 0: \
docker exec --user 0 CONTAINER sh -c 'chgrp -R 0 ${folder}; chmod -R g+rwX ${folder}'" >&2
done

# Libraries count the processors that they may run on, not the share of their time that a limit leaves. Control groups
# have two versions.
groups=/sys/fs/cgroup quota=max
{
    read -r quota period <"${groups}/cpu.max" ||
        { read -r quota <"${groups}/cpu/cpu.cfs_quota_us" && read -r period <"${groups}/cpu/cpu.cfs_period_us"; }
} 2>/dev/null || true
if [ -z "${OMP_NUM_THREADS:-}" ] && [ "${quota}" != max ] && [ "${quota}" -gt 0 ]; then
    limit=$(((quota + period - 1) / period)) processors=$(nproc)
    [ "${limit}" -ge "${processors}" ] || echo "warning: this container has the time of ${limit} of ${processors} processors, but \
PyTorch and NumPy start a thread for each: set OMP_NUM_THREADS=${limit}" >&2
fi
