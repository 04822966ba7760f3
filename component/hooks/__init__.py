"""The modules that run inside the servers, and what installs them."""
