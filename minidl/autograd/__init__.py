"""What lies under a Tensor: the modes, the memory that tensors share, and the backward pass."""
