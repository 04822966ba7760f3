"""Accounts through real servers: what they export is read, what we write they import."""
