"""What the numbers hide: probes, hidden contexts, false negatives, diversity."""
