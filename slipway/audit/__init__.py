"""Compares an image with its locks and its SBOM, file by file. Read audit.py first."""
