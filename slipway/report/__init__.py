"""Shows the results in dist/: tables of checks and requirements. Read summary.py first."""
