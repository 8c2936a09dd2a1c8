"""What the reader did with the passages: values, minimal sets, findings, and the parts within passages."""
