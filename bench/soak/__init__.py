"""Hours of moves with the server restarted now and then: what is lost, and what grows."""
