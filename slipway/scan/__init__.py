"""Scans an image with Trivy and says what the scan covered. Read scan.py first."""
