"""Speed and learning, against peers and published numbers; each with one command in the Makefile."""
