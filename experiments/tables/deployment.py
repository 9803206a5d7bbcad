"""Tables of services, clusters and exported models."""

from typing import Any

from tables.markdown import read, row, table


def killed_workers() -> list[str]:
    """What was done to the workers of a cluster, and what came of it."""
    result = read("killed_workers")
    config = result["config"]
    said = {
        "exit": "ended by themselves",
        "kill": "were killed",
        "freeze": "stood still",
        "hang": "hung within a chunk",
    }
    times = [f"{n} {said[mode]}" for mode, n in result["disturbances"].items()]
    same = "the same" if result["same_bytes"] else "not the same"
    return [
        f"{config['chunks']} chunks by {config['workers']} processes, of which "
        f"{', '.join(times[:-1])} and {times[-1]}, at random places and times: "
        f"{result['processes']} processes were at work in all, for "
        f"{result['seconds']:.0f} s with {config['patience']:.0f} s of patience on a "
        f"busy machine, and the {result['files']} files of the store have {same} bytes "
        "as those of one undisturbed process "
        "(`experiments/benchmarks/killed_workers.py`)."
    ]


def load_service() -> list[str]:
    """Throughput, waiting, refusals and memory of a service under load."""
    result = read("load_service")
    config, statuses = result["config"], result["statuses"]
    waited = result["seconds_by_percentile"]
    good, bad = statuses["good"], statuses["malformed"]
    found = {
        "requests a second of the clock": f"{result['requests_per_second']:.3g}",
        "seconds of the processor a request": (
            f"{result['processor_seconds_per_request']:.3g}"
        ),
        "seconds of waiting, 50th, 90th, 99th percentile": ", ".join(
            f"{waited[percentile]:.2g}" for percentile in ("50", "90", "99")
        ),
        "good requests that were answered": (
            f"{good.get('200', 0)} of {sum(good.values())}"
        ),
        "halves of files that were refused (400)": (
            f"{bad.get('400', 0)} of {sum(bad.values())}"
        ),
        "most memory, MiB, by tenths of the requests": ", ".join(
            f"{memory:.0f}" for memory in result["mebibytes_by_tenths"]
        ),
    }
    return [
        f"`burgers-simulation`, {config['requests']} requests of {config['samples']} "
        f"trajectories of {config['frames']} frames by {config['clients']} clients at "
        f"a time, on {result['machine']} with much other work beside, so that seconds "
        "of the processor say more than those of the clock:",
        "",
        *table("| | |", (row(what, value) for what, value in found.items())),
    ]


def onnx_parts() -> list[str]:
    """What ONNX takes of a model, and what stops the rest."""
    result = read("onnx_parts")
    versions = ", ".join(f"{name} {v}" for name, v in result["versions"].items())
    return [
        f"Measured for `{result['config']['model']}` ({versions}; "
        "`experiments/benchmarks/onnx_parts.py`):",
        "",
        *table(
            "| part | largest difference from JAX, relative | operators |",
            (_part(name, part) for name, part in result["parts"].items()),
        ),
    ]


def _part(name: str, part: dict[str, Any]) -> str:
    if "stopped_by" in part:
        return row(name, "–", f"stopped by `{part['stopped_by']}`")
    operators = ", ".join(sorted(part["operators"]))
    return row(name, f"{part['relative_difference']:.1g}", operators)
