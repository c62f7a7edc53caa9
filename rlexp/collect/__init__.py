"""Players: they step environments and return rollouts."""
