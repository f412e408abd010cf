# Sourced by health files. Only the kernel knows where a program listens, whichever option, setting or variable said so.
# shellcheck shell=bash

# Print the process of the mode: the child of the init, below which the image's own init may be (docker run --init).
mode_process() {
    local pid=$INIT
    while [[ $(</proc/"$pid"/comm) =~ $INITS ]]; do
        read -r pid _ </proc/"$pid"/task/"$pid"/children
    done
    echo "$pid"
}

# Ask PROGRAM, whose process is PID, for PATH where it listens; only an answer 200 within a second is healthy.
ask_program() {
    local program=$1 pid=$2 path=$3 places place address scheme status where
    mapfile -t places < <(listening "$pid")
    ((${#places[@]})) || mapfile -t places < <(listening_files "$pid")
    ((${#places[@]})) || unhealthy "$program does not listen"
    for place in "${places[@]}"; do
        address=$place where=()
        [[ $place != /* ]] || address=localhost where=(--unix-socket "$place")
        for scheme in http https; do
            status=$(curl --disable --silent --insecure --noproxy '*' --max-time 1 "${where[@]}" --output /dev/null \
                --write-out '%{http_code}' "$scheme://$address$path")
            [[ $status != 200 ]] || healthy "$scheme://$address$path answered 200"
        done
    done
    unhealthy "no answer from ${places[*]} to $path"
}

# Print HOST:PORT, as a URL has it, of the first TCP socket that process PID listens on; nothing where there is none.
listening() {
    local sockets address state inode
    sockets=$(ls -l "/proc/$1/fd" 2>/dev/null)
    while read -r _ address _ state _ _ _ _ _ inode _; do
        [[ $state == 0A && $sockets == *"socket:[$inode]"* ]] || continue
        echo "$(readable "${address%:*}"):$((16#${address#*:}))"
        return
    done < <(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null)
}

# Print the files of the Unix sockets that process PID listens on, one a line.
listening_files() {
    local sockets flags inode file
    sockets=$(ls -l "/proc/$1/fd" 2>/dev/null)
    while read -r _ _ _ flags _ _ inode file; do
        # The flag of one that accepts connections.
        [[ $flags != 00010000 || $file != /* || $sockets != *"socket:[$inode]"* ]] || echo "$file"
    done </proc/net/unix
}

# Print an address as people write it: the kernel has four bytes of it in a word, the last one first.
readable() {
    local word parts=()
    [[ $1 =~ [^0] ]] || { echo 127.0.0.1; return; }
    for word in $(fold -w 8 <<<"$1"); do
        parts+=("${word:6:2}" "${word:4:2}" "${word:2:2}" "${word:0:2}")
    done
    if ((${#parts[@]} == 4)); then
        printf '%d.%d.%d.%d' "${parts[@]/#/0x}"
    else
        printf '[%s%s' "${parts[@]:0:2}"
        printf ':%s%s' "${parts[@]:2}"
        printf ']'
    fi
}
