"""The XMPP side: the stream to the server, stanza codecs and the XEP-0283 stanza plugin."""
