"""Strict numerics, a counter of compiled programs, the optional reference data."""

import ctypes
import gc
import os
from pathlib import Path

import jax
import jaxtyping
import pytest
from hypothesis import settings

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# The same examples in every run, and no more than compilation time allows.
settings.register_profile("wdno", max_examples=25, deadline=None, derandomize=True)
settings.load_profile("wdno")


def crowded() -> bool:
    """Whether this process nears what it may have: 65,530 maps, or 2.5 GiB.

    Where the system does not say, it is taken to.
    """
    try:
        maps = Path("/proc/self/maps").read_bytes().count(b"\n")
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return True
    return maps > 20_000 or pages * os.sysconf("SC_PAGE_SIZE") > 1.2 * 2**30


def pytest_collection_finish():
    """What was imported stays: nobody looks for garbage in a million objects of it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def compiled():
    """Seconds of each program that was compiled.

    Operations outside of jit count too: each is a program of its own.
    """
    found = []

    def listen(event: str, seconds: float, **_) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.fixture(scope="module", autouse=True)
def forgotten_programs():
    """Compiled programs are let go of at the end of a module of tests, if need be.

    Each is mapped into memory, and a process may have 65,530 maps: thousands of
    programs take gigabytes, and beyond that limit the compiler crashes. What the
    compiler has freed lies in pieces that glibc keeps unless it is told to return them.
    """
    yield
    if not crowded():
        return
    jax.clear_caches()
    gc.collect()
    return_memory = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if return_memory is not None:
        return_memory(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference data beside the checkout; skips where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("WDNO_REFERENCE_DATA", default))
    if not (folder / "golden").is_dir():
        pytest.skip("reference data not present")
    return folder


@pytest.fixture
def compilations(compiled):
    """A function that calls another one and returns how many programs it compiled."""

    def count(call) -> int:
        before = len(compiled)
        call()
        return len(compiled) - before

    return count


@pytest.fixture
def unchecked():
    """Without the checks of annotations that users do not have either."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
