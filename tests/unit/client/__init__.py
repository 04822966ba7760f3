"""A client's own login, against servers that do what no real one can be made to do."""
