"""The typed schema of an experiment, its rules, and composition by Hydra."""
