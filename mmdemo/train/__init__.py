"""Training: one glue around transformers.Trainer for all tasks; a run's whole state lies in one folder."""
