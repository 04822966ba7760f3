"""Runs the core's effects against the server and the journal."""
