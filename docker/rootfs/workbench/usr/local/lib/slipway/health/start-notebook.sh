# Sourced by healthcheck. The last argument about JupyterLab's port or address counts, as JupyterLab reads them itself.
# shellcheck shell=bash
port=8888
base=/
mapfile -d '' -t words </proc/1/cmdline
# shellcheck disable=SC2086
for word in ${NOTEBOOK_ARGS:-} "${words[@]}"; do
    case $word in
    --ServerApp.port=*) port=${word#*=} ;;
    --ServerApp.base_url=*) base=/${word#*=} base=${base%/}/ ;;
    esac
done
ask "$port" "${base//\/\//\/}api"
