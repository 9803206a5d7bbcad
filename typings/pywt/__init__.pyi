"""PyWavelets keeps its public names in compiled modules that carry no types."""

from typing import Any

def __getattr__(name: str) -> Any: ...
