# Sourced by the modes that start JupyterLab.
# shellcheck shell=sh

# The user's token, or a new one that is printed once. JupyterLab takes it from the environment: a command line can be
# read by every process.
require_token() {
    if [ -n "${JUPYTER_TOKEN_FILE+set}" ]; then
        JUPYTER_TOKEN=$([ ! -r "${JUPYTER_TOKEN_FILE}" ] || cat "${JUPYTER_TOKEN_FILE}")
        unset JUPYTER_TOKEN_FILE
    fi
    if [ -z "${JUPYTER_TOKEN+set}" ]; then
        JUPYTER_TOKEN=$(random_credential)
        echo "JupyterLab: http://127.0.0.1:8888/lab?token=${JUPYTER_TOKEN}"
    fi
    [ -n "${JUPYTER_TOKEN}" ] || fail "the token is empty, and JupyterLab is never open without authentication: set \
JUPYTER_TOKEN to a secret, or leave it out for one that is made now"
    export JUPYTER_TOKEN
}

# OpenShift AI and Kubeflow, which alone set NB_PREFIX, hand over an empty token: their proxy authenticates.
is_behind_proxy() {
    [ -n "${NB_PREFIX:-}" ] && [ -z "${JUPYTER_TOKEN-unset}" ]
}

# Start JupyterLab with the arguments of NOTEBOOK_ARGS, which are words without quotes, and the mode's own.
start_jupyter() {
    set -f
    # shellcheck disable=SC2086
    set -- ${NOTEBOOK_ARGS:-} "$@"
    set +f
    for word; do
        shift
        case ${word} in
        --*.token=\'*\' | --*.token=\"*\") JUPYTER_TOKEN=${word#*=?} JUPYTER_TOKEN=${JUPYTER_TOKEN%?} ;;
        --*.token=*) JUPYTER_TOKEN=${word#*=} ;;
        --*.token) fail "write ${word}=TOKEN as one word, or set JUPYTER_TOKEN" ;;
        *) set -- "$@" "${word}" ;;
        esac
    done
    if is_behind_proxy; then
        echo "JupyterLab: the proxy before ${NB_PREFIX} authenticates"
        set -- --IdentityProvider.token= "$@"
    else
        require_token
    fi
    # With ELYRA=true it runs in Elyra's environment; kernels run in the image's own, always.
    lab=/opt/elyra/bin/jupyter-lab
    [ -x "${lab}" ] || lab=/opt/venv/bin/jupyter-lab
    exec "${lab}" "$@"
}
