"""``xmpp-moved fetch`` and servers that know nothing of this project, over TLS."""
