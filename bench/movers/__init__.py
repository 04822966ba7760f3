"""The mover's side: what a notification costs, and what the shutdown of a whole server takes."""
