"""Accounts as files that lie in the upload service of the user's own server (XEP-0363)."""
