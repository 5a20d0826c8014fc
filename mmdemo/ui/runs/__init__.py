"""The tab Runs, and what every page tells of a run that goes on."""
