"""Tables of the pages on scale and deployment."""

import json

from _results import RESULTS


def killed_workers() -> str:
    """What was done to the workers of a cluster, and what came of it."""
    result = json.loads((RESULTS / "killed_workers.json").read_text())
    config = result["config"]
    said = {
        "exit": "ended by themselves",
        "kill": "were killed",
        "freeze": "stood still",
        "hang": "hung within a chunk",
    }
    times = [f"{n} {said[mode]}" for mode, n in result["disturbances"].items()]
    same = "the same" if result["same_bytes"] else "not the same"
    return (
        f"{config['chunks']} chunks by {config['workers']} processes, of which "
        f"{', '.join(times[:-1])} and {times[-1]}, at random places and times: "
        f"{result['processes']} processes were at work in all, for "
        f"{result['seconds']:.0f} s with {config['patience']:.0f} s of patience on a "
        f"busy machine, and the {result['files']} files of the store have {same} bytes "
        "as those of one undisturbed process "
        "(`experiments/benchmarks/killed_workers.py`)."
    )


def load_service() -> str:
    """Throughput, waiting, refusals and memory of a service under load."""
    result = json.loads((RESULTS / "load_service.json").read_text())
    config, statuses = result["config"], result["statuses"]
    waited = result["seconds_by_percentile"]
    memory = result["mebibytes_by_tenths"]
    good, bad = statuses["good"], statuses["malformed"]
    lines = [
        f"`burgers-simulation`, {config['requests']} requests of {config['samples']} "
        f"trajectories of {config['frames']} frames by {config['clients']} clients at "
        f"a time, on {result['machine']} with much other work beside, so that seconds "
        "of the processor say more than those of the clock:",
        "",
        "| | |",
        "|---|---|",
        f"| requests a second of the clock | {result['requests_per_second']:.3g} |",
        "| seconds of the processor a request "
        f"| {result['processor_seconds_per_request']:.3g} |",
        "| seconds of waiting, 50th, 90th, 99th percentile "
        f"| {waited['50']:.2g}, {waited['90']:.2g}, {waited['99']:.2g} |",
        f"| good requests that were answered | {good.get('200', 0)} of "
        f"{sum(good.values())} |",
        f"| halves of files that were refused (400) | {bad.get('400', 0)} of "
        f"{sum(bad.values())} |",
        "| most memory, MiB, by tenths of the requests "
        f"| {', '.join(f'{m:.0f}' for m in memory)} |",
    ]
    return "\n".join(lines)


def peers() -> str:
    """Ours over theirs, whatever both do."""
    result = json.loads((RESULTS / "peers.json").read_text())
    lines = [
        "Milliseconds of the processor, one thread, medians of rounds in turn on a "
        "busy machine of 2 cores; ratios are ours over theirs in a round, with their "
        "quartiles: below 1 ours is faster.",
        "",
        "| what | wdno, ms | beside | ms | ratio | rounds |",
        "|---|---|---|---|---|---|",
    ]
    for what, row in result["rows"].items():
        took = row["milliseconds"]["processor"]
        for name, (middle, low, high) in row["ratio"].items():
            lines.append(
                f"| {what} | {took['wdno']:.3g} | {name} | {took[name]:.3g} "
                f"| {middle:.2g} ({low:.2g}–{high:.2g}) | {row['config']['repeats']} |"
            )
    return "\n".join(lines)


def onnx_parts() -> str:
    """What ONNX takes of a model, and what stops the rest."""
    result = json.loads((RESULTS / "onnx_parts.json").read_text())
    versions = ", ".join(f"{name} {v}" for name, v in result["versions"].items())
    lines = [
        f"Measured for `{result['config']['model']}` ({versions}; "
        "`experiments/benchmarks/onnx_parts.py`):",
        "",
        "| part | largest difference from JAX, relative | operators |",
        "|---|---|---|",
    ]
    for name, part in result["parts"].items():
        if "stopped_by" in part:
            lines.append(f"| {name} | – | stopped by `{part['stopped_by']}` |")
        else:
            operators = ", ".join(sorted(part["operators"]))
            lines.append(
                f"| {name} | {part['relative_difference']:.1g} | {operators} |"
            )
    return "\n".join(lines)
