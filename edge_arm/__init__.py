"""Facial expressions with ResNet-18 + ARM, from a training set to a measured INT8 engine."""

__version__ = "0.1.0"
