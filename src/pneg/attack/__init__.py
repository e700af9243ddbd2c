"""Harder test sets made from any corpus, one rule a file."""
