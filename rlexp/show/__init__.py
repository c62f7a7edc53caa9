"""What a person sees: progress, and the lines at the end."""
