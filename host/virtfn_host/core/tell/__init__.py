"""What people are told about functions: rows, explanations, names."""
