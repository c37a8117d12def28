"""RADL."""
