# Sourced by healthcheck.
# shellcheck source=/dev/null
. "${HEALTH:?}/lab"
