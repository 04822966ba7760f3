"""What is meant for other projects; nothing of the component needs it."""
