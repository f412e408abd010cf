# A login shell, such as JupyterLab's terminals are, has the environment that other processes have.
# shellcheck shell=sh
# shellcheck source=/dev/null
. /usr/local/lib/slipway/environment.sh
