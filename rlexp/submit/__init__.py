"""Submission of runs to SLURM as one array of jobs."""
