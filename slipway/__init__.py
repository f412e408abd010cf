"""The code behind Slipway's nox sessions: the matrix, the host's setup, and builds, checks and releases of images."""
