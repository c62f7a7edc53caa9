"""The files of a run: summary, metrics, TensorBoard, checkpoints, log and lock."""
