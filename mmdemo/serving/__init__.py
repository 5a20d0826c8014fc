"""The four jobs, who serves them, how requests meet, how fast."""
