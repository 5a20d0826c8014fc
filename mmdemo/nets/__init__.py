"""Torch modules: tensors in, tensors out. No paths, no pictures, no labels."""
