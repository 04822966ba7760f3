"""Debian machines, booted with their own systemd, on which the README's blocks run to the letter.

``make test-machines`` runs what is here; nothing of it belongs to ``make test``.
"""
