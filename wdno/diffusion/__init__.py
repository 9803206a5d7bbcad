"""Diffusion in σ-space: noise levels, denoisers, samplers, and guidance of them.

Nothing here knows of fields, wavelets or systems: samples are batch-leading arrays.
"""
