"""Scans an image with Trivy and reports which packages were examined. Read scan.py first."""
