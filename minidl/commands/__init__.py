"""What `python -m minidl` can do, a module a command."""
