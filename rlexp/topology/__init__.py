"""The two loops: who owns a player, who owns a learner, and what moves between ranks."""
