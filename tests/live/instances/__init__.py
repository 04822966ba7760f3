"""Several instances of the component beside one server, with a real PostgreSQL."""
