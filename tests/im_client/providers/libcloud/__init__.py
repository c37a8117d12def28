"""Tests of the clouds behind libcloud."""
