"""What `python -m minidl` trains on, and the baseline that it is compared with."""
