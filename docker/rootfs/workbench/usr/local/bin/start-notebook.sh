#!/bin/sh
# The name by which OpenShift AI and the Jupyter images know the workbench.
exec /usr/local/lib/slipway/modes/workbench "$@"
