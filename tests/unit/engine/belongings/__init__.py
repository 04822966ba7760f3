"""Copies on a server that the test plays."""
