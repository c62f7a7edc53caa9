"""Search of settings: what is tried, by which jobs, and what is best."""
