"""The mover side as decisions: what a move is, what may begin, who is told when."""
