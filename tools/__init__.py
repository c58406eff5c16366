"""What is run while the package is developed, and not part of it."""
