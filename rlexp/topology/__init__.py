"""The one training loop, and the two ways to wire it: coupled and decoupled."""
