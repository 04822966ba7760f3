"""Running it: log, metrics, health."""
