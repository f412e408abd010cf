"""Speech to text, in place of the example service."""
