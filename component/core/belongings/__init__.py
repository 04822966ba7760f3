"""Bringing an account's things into another: what to do about each, what became of it, and back."""
