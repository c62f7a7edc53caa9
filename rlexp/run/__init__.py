"""One run: what is recorded, what is due when, evaluation and resume."""
