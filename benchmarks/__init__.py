"""What minidl's speed is measured with, beside every other library that is installed: `python -m benchmarks`."""
