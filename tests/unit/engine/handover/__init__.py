"""Hand-overs as a part of moves, on the model server."""
