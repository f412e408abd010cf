# Sourced by the modes that start a Jupyter server.
# shellcheck shell=sh

# Whether an empty token among the arguments is taken at its word.
open=no
# A line of a settings file that sets a token.
names_token='^[^#]*\btoken\b'

# The user's token, or a new one that is printed once. JupyterLab takes it from the environment: a command line can be
# read by every process.
require_token() {
    ! grep -qs "${names_token}" "${config}" || fail "${config} sets a token: leave it out there, and set JUPYTER_TOKEN or \
JUPYTER_TOKEN_FILE"
    if [ -n "${JUPYTER_TOKEN_FILE:-}" ]; then
        require_file JUPYTER_TOKEN_FILE "${JUPYTER_TOKEN_FILE}"
        # An editor of Windows ends the line by two characters.
        JUPYTER_TOKEN=$(tr -d '\r' <"${JUPYTER_TOKEN_FILE}")
    elif [ -z "${JUPYTER_TOKEN+set}${JUPYTER_TOKEN_FILE+set}" ]; then
        JUPYTER_TOKEN=$(random_credential)
        echo "JupyterLab: ${scheme}://127.0.0.1:${port}${prefix%/}/lab?token=${JUPYTER_TOKEN}"
    fi
    unset JUPYTER_TOKEN_FILE
    [ -n "${JUPYTER_TOKEN:-}" ] || fail "the token is empty, and JupyterLab is never open without authentication: set \
JUPYTER_TOKEN to a secret, or leave it out for one that is made now"
    export JUPYTER_TOKEN
    put_token_first
}

# To Jupyter the variable is a default: a token in a settings file, even an empty one, would replace it. These files count
# before the user's.
put_token_first() {
    for name in server lab notebook; do
        echo "import os; c.PasswordIdentityProvider.token = c.IdentityProvider.token = os.environ['JUPYTER_TOKEN']" \
            >"${RUN}/environment/jupyter_${name}_config.py"
    done
    for file in "${JUPYTER_CONFIG_DIR}"/jupyter_*config.*; do
        ! grep -qs "${names_token}" "${file}" ||
            echo "warning: the token in ${file} is not taken: set JUPYTER_TOKEN or JUPYTER_TOKEN_FILE" >&2
    done
}

# OpenShift AI and Kubeflow, which alone set NB_PREFIX, authenticate by their own proxy: OpenShift AI says so by an empty
# token, Kubeflow by none. Outside a cluster there is no such proxy.
is_behind_proxy() {
    [ -n "${NB_PREFIX:-}" ] && [ -z "${JUPYTER_TOKEN:-}" ] && [ -z "${JUPYTER_TOKEN_FILE+set}" ] || return 1
    [ -n "${JUPYTER_TOKEN+set}${KUBERNETES_SERVICE_HOST:-}" ]
}

# An empty token among these words, which somebody has typed, means what it means to Jupyter: no authentication.
take_empty_token() {
    last=''
    for word; do
        case ${last}${word} in
        --*.token= | --*.token=\'\' | --*.token=\"\") open=yes ;;
        esac
        case ${word} in --*.token) last=${word}= ;; *) last='' ;; esac
    done
}

require_file() {
    [ -f "$2" ] && [ -r "$2" ] || fail "$1: '$2' is no file that UID $(id -u) can read: mount the file there, or leave out $1"
}

require_port() {
    case $2 in
    '' | *[!0-9]* | ??????*) ;;
    *) [ "$2" -lt 1 ] || [ "$2" -gt 65535 ] || return 0 ;;
    esac
    fail "$1: '$2' is no port: set a number from 1 to 65535, or leave out $1"
}

require_prefix() {
    case $2 in
    *[!A-Za-z0-9/._~%@:+-]*) fail "$1: '$2' has a character that no path has: set one such as /user/name" ;;
    /*) ;;
    *) fail "$1: '$2' does not begin with a slash: set /$2" ;;
    esac
}

# A certificate that nobody has signed, made anew at each start.
make_certificate() {
    (umask 0077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "/CN=localhost" \
        -addext "subjectAltName=DNS:localhost,DNS:$(uname -n),IP:127.0.0.1,IP:::1" \
        -keyout "${RUN}/key.pem" -out "${RUN}/certificate.pem" 2>"${RUN}/openssl.log") ||
        fail "GEN_CERT: no certificate could be made: $(tail -n 1 "${RUN}/openssl.log")"
}

# Jupyter tells by files in its runtime folder where it listens; slipway.pid tells the health check whose file counts.
open_runtime() {
    # The folder that the image names is one of those that RUN is chosen from.
    [ "${JUPYTER_RUNTIME_DIR:-/tmp/slipway/jupyter}" != /tmp/slipway/jupyter ] || JUPYTER_RUNTIME_DIR=${RUN}/jupyter
    export JUPYTER_RUNTIME_DIR
    (umask 0077 && can_write "${JUPYTER_RUNTIME_DIR}") || fail "JUPYTER_RUNTIME_DIR: '${JUPYTER_RUNTIME_DIR}' is no folder \
that UID $(id -u) can write: set another one, or leave out JUPYTER_RUNTIME_DIR"
    rm -f "${JUPYTER_RUNTIME_DIR}/jpserver-$$.json"
    echo $$ >"${JUPYTER_RUNTIME_DIR}/slipway.pid"
}

# Settings are on the volume; where they cannot be written there, they are read there, and new ones last for this start.
# What the environment sets is in a file that counts before the user's: an argument of Jupyter must not be there twice.
open_settings() {
    if ! can_write "${JUPYTER_CONFIG_DIR:=${HOME}/.jupyter}"; then
        JUPYTER_CONFIG_PATH=${JUPYTER_CONFIG_DIR}${JUPYTER_CONFIG_PATH:+:${JUPYTER_CONFIG_PATH}}
        JUPYTER_CONFIG_DIR=${RUN}/settings
    fi
    JUPYTER_CONFIG_PATH=${RUN}/environment${JUPYTER_CONFIG_PATH:+:${JUPYTER_CONFIG_PATH}}
    export JUPYTER_CONFIG_DIR JUPYTER_CONFIG_PATH
    rm -rf "${RUN}/environment"
    mkdir -p "${JUPYTER_CONFIG_DIR}" "${RUN}/environment"
    echo "{\"ServerApp\": {${settings#,}}, \"NotebookNotary\": {${notary}}}" >"${RUN}/environment/jupyter_server_config.json"
    # Not `:`, whose failure would end the shell. Without this file Jupyter looks for settings of IPython 3, in folders
    # that another UID may have closed.
    true >>"${JUPYTER_CONFIG_DIR}/migrated"
}

# A kernel that another image has written to the volume comes before the image's, and its Python may be gone.
warn_of_dead_kernels() {
    for file in "${JUPYTER_DATA_DIR:-${HOME}/.local/share/jupyter}"/kernels/*/kernel.json; do
        program=$(tr -d '\n' 2>/dev/null <"${file}" | sed -n 's/.*"argv": *\[ *"\([^"{]*\)".*/\1/p')
        [ -z "${program}" ] || command -v "${program}" >/dev/null || echo "warning: the kernel ${file%/*} does not start: this image \
has no ${program}; delete the folder" >&2
    done
}

# Read what the environment sets: `settings` of the server and of its `notary`; `port`, `prefix` and `scheme`.
read_environment() {
    settings='' notary='' port=8888 prefix=/ scheme=http
    if [ -n "${NB_PREFIX:-}" ]; then
        require_prefix NB_PREFIX "${NB_PREFIX}"
        prefix=${NB_PREFIX} settings=",\"base_url\": \"${NB_PREFIX}\""
    fi
    case ${JUPYTER_PORT:-} in
    # Kubernetes sets it so for a Service of the name jupyter.
    '' | tcp://*) ;;
    *)
        require_port JUPYTER_PORT "${JUPYTER_PORT}"
        port=${JUPYTER_PORT#"${JUPYTER_PORT%%[!0]*}"} settings="${settings},\"port\": ${port}"
        ;;
    esac
    case ${GEN_CERT:-no} in
    no | 0 | false) ;;
    *)
        make_certificate
        scheme=https settings="${settings},\"certfile\": \"${RUN}/certificate.pem\",\"keyfile\": \"${RUN}/key.pem\""
        ;;
    esac
    share_databases || notary="\"data_dir\": \"${RUN}\""
}

# Which notebooks are trusted is kept on the volume. Jupyter would make these files for one UID; made here, they are the
# group's. Succeed where Jupyter can use its own.
share_databases() {
    trust=${JUPYTER_DATA_DIR:-${HOME}/.local/share/jupyter}
    can_write "${trust}" || return 1
    [ -s "${trust}/notebook_secret" ] || (umask 0007 && random_credential >"${trust}/notebook_secret") 2>/dev/null || return 1
    { true >>"${trust}/nbsignatures.db"; } 2>/dev/null || return 1
    [ -r "${trust}/notebook_secret" ]
}

# Take a word of the command line: `port` and `prefix` are those that it ends with, and a token goes to the environment.
# Fail for a value that Jupyter would answer with a traceback.
read_argument() {
    case $1 in
    --*.token=\'*\' | --*.token=\"*\") JUPYTER_TOKEN=${1#*=?} JUPYTER_TOKEN=${JUPYTER_TOKEN%?} ;;
    --*.token=*) JUPYTER_TOKEN=${1#*=} ;;
    --port=* | --*.port=*) port=${1#*=} && require_port "${1%%=*}" "${port}" ;;
    --config=* | --*.config_file=*) config=${1#*=} ;;
    --*.base_url=*) prefix=${1#*=} prefix=/${prefix#/} ;;
    --*certfile=* | --*keyfile=*) require_file "${1%%=*}" "${1#*=}" && scheme=https ;;
    esac
}

# A server of a JupyterHub asks it who may come in.
require_hub() {
    [ -n "${JUPYTERHUB_API_TOKEN:-}" ] || fail "JUPYTERHUB_API_TOKEN is not set: only a JupyterHub starts this server"
    require_prefix JUPYTERHUB_SERVICE_PREFIX "${JUPYTERHUB_SERVICE_PREFIX:-/}"
}

# Start a server, `lab`, `notebook`, `server` or `hub`, with what the environment sets, the arguments of NOTEBOOK_ARGS,
# which are words without quotes, and the mode's own.
start_jupyter() {
    server=$1 option='' config=''
    shift
    read_environment
    set -f
    # shellcheck disable=SC2086
    set -- ${NOTEBOOK_ARGS:-} "$@"
    set +f
    for word; do
        shift
        word=${option}${word} option=
        case ${word} in
        --port | --*.port | --*.base_url | --*.token | --config | --*.config_file | --*certfile | --*keyfile) option=${word}= ;;
        *)
            read_argument "${word}"
            case ${word} in --*.token=*) ;; *) set -- "$@" "${word}" ;; esac
            ;;
        esac
    done
    [ -z "${option}" ] || fail "${option%=} has no value"
    open_runtime
    open_settings
    warn_of_dead_kernels
    if [ "${server}" = hub ]; then
        require_hub
    elif is_behind_proxy; then
        echo "JupyterLab: the proxy before ${NB_PREFIX} authenticates"
        set -- --IdentityProvider.token= "$@"
    elif [ "${open}${JUPYTER_TOKEN-none}" = yes ]; then
        echo "warning: everybody who reaches port ${port} can run programs here: the token among the arguments is empty" >&2
        set -- --IdentityProvider.token= "$@"
    else
        require_token
    fi
    run_server "${server}" "$@"
}

# With ELYRA=true JupyterLab runs in Elyra's environment; kernels run in the image's own, always.
run_server() {
    case $1 in
    hub) program=jupyterhub-singleuser && echo "Executing: jupyterhub-singleuser" ;;
    *) program=jupyter-$1 && echo "Executing: jupyter $1" ;;
    esac
    shift
    warn_without_volume
    for folder in /opt/elyra/bin /opt/venv/bin; do
        [ ! -x "${folder}/${program}" ] || break
    done
    exec "${folder}/${program}" "$@"
}

# Start what the Jupyter images start: a JupyterHub's server below a hub, else that of DOCKER_STACKS_JUPYTER_CMD.
start_notebook() {
    server=${DOCKER_STACKS_JUPYTER_CMD:-lab}
    [ -z "${JUPYTERHUB_API_TOKEN:-}" ] || server=hub
    case ${server} in
    lab | notebook | server | hub) start_jupyter "${server}" "$@" ;;
    *) fail "DOCKER_STACKS_JUPYTER_CMD: '${server}' is not in this image: set lab, notebook or server" ;;
    esac
}
