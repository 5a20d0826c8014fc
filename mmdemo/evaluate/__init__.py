"""Says how good a model is, with interval and baseline, and writes it down."""
