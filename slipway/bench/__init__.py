"""Measures builds and images, each figure beside a yardstick. Read bench.py first."""
