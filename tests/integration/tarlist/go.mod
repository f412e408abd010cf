module slipway/tests/integration/tarlist

go 1.24.0

tool slipway/tests/integration/tarlist
