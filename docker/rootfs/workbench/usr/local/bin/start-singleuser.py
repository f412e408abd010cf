#!/bin/sh
# The newer name of the same in the Jupyter images.
exec start-singleuser.sh "$@"
