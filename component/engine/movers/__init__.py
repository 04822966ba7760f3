"""The mover's side at work: prepares, publishes, notifies, retries and undoes users' own moves."""
