"""Learning: memories, losses taken as steps, and the learner that joins them."""
