"""Tests of component/account."""
