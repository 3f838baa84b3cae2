"""Speed, accuracy and scaling of the methods, on demand; each module writes its table into benchmarks/README.md."""
