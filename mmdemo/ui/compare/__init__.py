"""The tab Compare: two models on data, on one input, and on what one may have forgotten."""
