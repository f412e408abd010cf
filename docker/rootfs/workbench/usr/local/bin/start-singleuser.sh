#!/bin/sh
# The name by which the Jupyter images know what a JupyterHub starts.
exec /usr/local/lib/slipway/modes/jupyterhub-singleuser "$@"
