"""What many runs show together: their statistics, a table, a page."""
