"""From one command to the processes of a run: ranks, devices, signals, and the cause of a failure."""
