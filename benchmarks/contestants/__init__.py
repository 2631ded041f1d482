"""One module a library, one function a task. A function makes everything ready and returns the step that is timed.

A step returns what all contestants must agree on: a loss, or an array, of which the mean size is compared.
"""
