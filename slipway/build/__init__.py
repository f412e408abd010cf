"""Builds an image, labels it with the versions found in it, records the build; compiles locks. Read record.py first."""
