"""Publishes images: release checks, tags, revisions, push, attestations, signatures. Read publish.py first."""
