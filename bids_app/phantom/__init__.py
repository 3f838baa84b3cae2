"""A simulated head with known susceptibility, and the demo dataset made of it."""
