"""ResNet-18 + ARM in PyTorch, and the folding of ARM into one convolution."""
