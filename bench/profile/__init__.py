"""Where the servers' processor time goes while contacts are followed."""
