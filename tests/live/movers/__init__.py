"""Users who move, on real servers: the mover's side from the first word to the last roster."""
