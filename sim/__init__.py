"""Fakes that tests and measurements share: servers, contacts and clocks; nothing here is real."""
