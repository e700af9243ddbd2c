"""Studies: whole jobs whose result is a table."""
