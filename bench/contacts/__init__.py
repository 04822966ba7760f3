"""The contact side, in turns with what else could do it (``python -m bench``)."""
