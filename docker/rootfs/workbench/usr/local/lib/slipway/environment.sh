# Sourced by the entry point, login shells and kernels: sets the user's own Python environment, which is on the volume
# and is made at its first use. One that the user has activated stays; without a volume there is the image's alone.
# shellcheck shell=sh

# The image's settings of matplotlib, until the user has own ones.
if [ ! -e "${MPLCONFIGDIR-}/matplotlibrc" ]; then
    export MATPLOTLIBRC="${MATPLOTLIBRC:-/usr/local/lib/slipway/matplotlibrc}"
elif [ "${MATPLOTLIBRC-}" = /usr/local/lib/slipway/matplotlibrc ]; then
    unset MATPLOTLIBRC
fi

case ${VIRTUAL_ENV:-/opt/venv} in
/opt/venv | /data/.slipway/python)
    if /opt/venv/bin/python -IS /usr/local/lib/slipway/environment/make.py; then
        export VIRTUAL_ENV=/data/.slipway/python
    else
        export VIRTUAL_ENV=/opt/venv
    fi
    ;;
esac
