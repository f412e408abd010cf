"""Compares an image with its locks, file by file: SBOM = lock = files. Read audit.py first."""
