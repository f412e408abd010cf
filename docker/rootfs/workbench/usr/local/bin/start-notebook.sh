#!/bin/sh
# The name by which OpenShift AI and the Jupyter images know the workbench. As there, an argument may switch the token off.
set -eu
# shellcheck source=/dev/null
. /usr/local/lib/slipway/workbench.sh
# shellcheck source=/dev/null
. /usr/local/lib/slipway/jupyter.sh

umask 0002
open_volume
take_empty_token "$@"
start_notebook "$@"
