"""What becomes of each thing of an account."""
