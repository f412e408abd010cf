"""What Slipway's nox sessions run: the matrix, the machine's set-up and the truth about an image."""
