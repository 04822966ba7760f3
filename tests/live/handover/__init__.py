"""Hand-overs between two servers that both have the hook, over real s2s."""
