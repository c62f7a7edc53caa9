"""What the commands do: reading what was typed, checking it, sweeps, and the last words."""
