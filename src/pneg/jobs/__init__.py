"""Work that can be stopped and goes on: what a job claims, how far it is, and its parts on one machine or many."""
