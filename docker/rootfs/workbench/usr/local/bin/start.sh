#!/bin/sh
# The entry point of the Jupyter images, which some pass as the command: here it is what the container starts by anyway.
exec entrypoint "${@:-bash}"
