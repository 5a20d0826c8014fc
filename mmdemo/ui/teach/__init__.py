"""The tab Teach: data, a look at them, settings, and the start of a training."""
