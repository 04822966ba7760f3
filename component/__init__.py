"""Follow contacts who change their XMPP address (XEP-0283 Moved 2.0)."""

__version__ = "0.1.0"
