"""Tables of what calls and trainings take, foretold, measured and beside others."""

from tables.markdown import interval, read, row, table


def seconds() -> list[str]:
    """What the verbs take: the first call, and another."""
    result = read("seconds")
    config = result["config"]
    return [
        f"Seconds on {result['machine']}, nothing beside, {config['flows']} flows or "
        f"{config['scenes']} scenes at once: the first call in a process, which "
        "compiles, and each flow or scene of another call, with functions, planners "
        "and systems made anew.",
        "",
        *table(
            "| call | first call | each |",
            (
                row(name, f"{entry['first_call']:.1f}", f"{entry['each']:.2g}")
                for name, entry in result["results"].items()
            ),
        ),
    ]


def cost() -> list[str]:
    """Costs that were foretold, and what it then took."""
    result = read("cost")
    problems = result["rows"]
    within = sum(abs(entry["ratio"] - 1) <= 0.25 for entry in problems.values())
    return [
        f"Foretold and measured, seconds of one thread ({result['machine']}, other "
        f"work beside); {within} of {len(problems)} within a quarter:",
        "",
        *table(
            "| problem | foretold | measured | ratio | memory, ratio |",
            (
                row(
                    name,
                    f"{entry['foretold_seconds']:.3g}",
                    f"{entry['seconds']:.3g}",
                    f"{entry['ratio']:.2f}",
                    _measured(entry["memory_ratio"], ".2f", ""),
                )
                for name, entry in problems.items()
            ),
        ),
    ]


def paper_presets() -> list[str]:
    """What the largest configurations take."""
    result = read("paper_presets")
    rate = result["config"]["gpu_rate"] / 1e12
    return [
        "The largest configurations at full size, a few updates each on noise of the "
        f"right shapes ({result['machine']}, one thread). State: parameters, their "
        "average and both moments; beside it: all else of an update, in some pieces, "
        "as the compiler lays it out. Without seconds: compiled, and not run. "
        f"Hours on a GPU are counted operations at {rate:.3g} TFLOP/s; no GPU has "
        "measured them.",
        "",
        *table(
            "| network | parameters, M | batch | pieces | state, GiB | beside it, GiB "
            "| s an update | GFLOP an update | updates | hours on a GPU |",
            (
                row(
                    name,
                    f"{entry['parameters'] / 1e6:.3g}",
                    f"{entry['batch']}",
                    f"{entry['pieces']}",
                    f"{entry['state_gib']:.2g}",
                    f"{entry['temporary_gib']:.2g}",
                    _measured(entry["processor_seconds_an_update"], ".3g", "–"),
                    f"{entry['operations_an_update'] / 1e9:.3g}",
                    f"{entry['updates_of_a_run']:,}",
                    f"{entry['gpu_hours']:.2g}",
                )
                for name, entry in result["rows"].items()
            ),
        ),
    ]


def _measured(value: float | None, form: str, missing: str) -> str:
    return missing if value is None else f"{value:{form}}"


def peers() -> list[str]:
    """Ours over theirs, whatever both do."""
    return [
        "Milliseconds of the processor, one thread, medians of rounds in turn on a "
        "busy machine of 2 cores; ratios are ours over theirs in a round, with their "
        "quartiles: below 1 ours is faster.",
        "",
        *table(
            "| what | wdno, ms | beside | ms | ratio | rounds |",
            (
                row(
                    what,
                    f"{entry['milliseconds']['processor']['wdno']:.3g}",
                    name,
                    f"{entry['milliseconds']['processor'][name]:.3g}",
                    interval(ratio),
                    f"{entry['config']['repeats']}",
                )
                for what, entry in read("peers")["rows"].items()
                for name, ratio in entry["ratio"].items()
            ),
        ),
    ]
