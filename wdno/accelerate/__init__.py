"""Fewer denoiser calls, or fewer in a row: planning and simulation that go on.

`stream_batch` has several windows in flight, each at its own noise level.
"""
