"""Frozen data that crosses rooms. The modules that the command imports at its start need no torch."""
