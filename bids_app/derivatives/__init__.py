"""Names of the products, and reading and writing of files."""
