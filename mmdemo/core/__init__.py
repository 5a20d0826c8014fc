"""Requests, results, errors and settings; standard library and numpy only."""
