"""Copies between accounts on real servers."""
