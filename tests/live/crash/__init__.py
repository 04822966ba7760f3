"""The component, and the server, killed at every point and at any moment."""
