"""The decisions of xmpp-moved: events in, effects out, no I/O and no clock."""
