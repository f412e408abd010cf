"""The service that every image starts: small, and meant to be replaced by a team's own."""
