"""Rewriting English by rule: whether a text is English, verbs, persons, negation."""
