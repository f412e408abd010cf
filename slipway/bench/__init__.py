"""Measures builds and images, each figure beside a baseline. Read bench.py first."""
