"""Reads an image that was built: its archive, layers and merged file system. Read saved_image.py first."""
