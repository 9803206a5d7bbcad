"""Tables of closed loops: when to plan anew, and from what."""

from tables.markdown import interval, intervals, read, row, table


def stream() -> list[str]:
    """Streams of windows, and planning anew."""
    result = read("stream")
    config = result["config"]
    return [
        f"{config['targets']} loops of {config['ticks']} ticks of {config['tick']} "
        f"frames with `{config['planner']}`, plans over {config['horizon']} frames, "
        f"under a steady push of {config['push']} that no planner knows. Miss is the "
        "mean over all instants of mean_x (u − goal)², energy 2e-5 Σ f² for every "
        f"{config['horizon']} frames, with 95 % bootstrap intervals over problems. "
        "Calls are those that wait for each other, rows all that are denoised for a "
        "problem in a tick; milliseconds are of all loops at once "
        f"({result['machine']}).",
        "",
        *table(
            "| plans | calls | rows | miss | energy | sum | ms a tick |",
            (
                row(
                    name,
                    f"{way['calls_a_tick']}",
                    f"{way['rows_a_tick']}",
                    *intervals(way, "state", "energy", "sum"),
                    f"{way['milliseconds_a_tick']}",
                )
                for name, way in result["ways"].items()
            ),
        ),
    ]


def event_control() -> list[str]:
    """Ways to steer Burgers flow, by kind of push."""
    result = read("event_control")
    config = result["config"]
    lines = [
        f"{config['problems']} flows with {config['appointments']} appointments each, "
        f"{config['horizon']} frames apart, a tick every {config['every']} frames. One "
        f"point in {config['seen']} is seen, through noise of {config['noise']:g}; "
        "states are estimated from that and from what was predicted. The solver "
        "judges, from the true states. J is miss and energy of an appointment, in "
        "brackets are 95 % bootstrap intervals, those of the ratio by pairs. Numbers "
        "after triggers are the shares that they were to have, by other problems. "
        "Milliseconds are the controller's on one processor, of one flow at a time "
        f"({result['machine']}).",
    ]
    pushes = {
        "gusts": f"Gusts of {config['gust']:g} in half of the appointments, at any "
        "time, for a quarter of one:",
        "steady": f"A push of {config['steady']:g} that never ends:",
    }
    for kind, title in pushes.items():
        lines += [
            "",
            title,
            "",
            *table(
                "| steering | share of ticks with a new plan | calls a tick | J | J "
                "over that of every tick | ms a tick, median | 99 % | ticks a second "
                "| processor seconds a simulated one |",
                (
                    row(
                        name,
                        f"{arm['rate']:.2f}",
                        f"{arm['calls_per_tick']:.2f}",
                        *intervals(arm, "J", "J over that of every tick"),
                        f"{arm['median_ms']:.1f}",
                        f"{arm['p99_ms']:.0f}",
                        f"{arm['ticks_per_second']:.0f}",
                        f"{arm['processor_seconds_per_simulated']:.2g}",
                    )
                    for name, arm in result["pushes"][kind]["arms"].items()
                ),
            ),
        ]
    return lines


def last_plan() -> list[str]:
    """Sources of plans: noise, the last plan, a staircase of levels."""
    result = read("last_plan")
    config, pushes = result["config"], result["pushes"]
    ratio = "J over one call from noise"
    return [
        f"{config['problems']} flows with two appointments each, 32 frames apart, a "
        f"tick every {config['every']} frames; one point in {config['seen']} is seen, "
        f"through noise of {config['noise']:g}, with straight lines between or filtered"
        f". Small planners, trained for {config['begin']:g} s of a processor together "
        f"and {config['budget']:g} s each by itself, {config['compiling']:g} s more "
        "where plans are rolled out, which take as long to compile. The solver judges; "
        "J is miss and energy of an appointment, with 95 % bootstrap intervals, those "
        "of the ratio by pairs; milliseconds are the planner's on one processor of a "
        f"busy machine ({result['machine']}).",
        "",
        *table(
            "| plans | calls a tick | J, gusts | over that of one call from noise | J, "
            "steady push | over that of one call from noise | ms a tick |",
            (
                row(
                    name,
                    f"{gusts['calls_per_tick']:.3g}",
                    interval(gusts["J"]),
                    interval(gusts[ratio], 3),
                    interval(pushes["steady"][name]["J"]),
                    interval(pushes["steady"][name][ratio], 3),
                    f"{gusts['median_ms']:.0f}" if "median_ms" in gusts else "",
                )
                for name, gusts in pushes["gusts"].items()
            ),
        ),
    ]


def smoke_loop() -> list[str]:
    """Ways to steer smoke in a wind."""
    result = read("smoke_loop")
    config = result["config"]
    return [
        f"{config['scenes']} scenes in a wind of {config['wind']:g}, from another side "
        f"in each, a tick every {config['every']} frames. One point in "
        f"{config['seen']}² is seen, through noise of {config['noise']:g}. A new plan "
        f"is a step of {result['chosen']['size']:g} through the model unless more are "
        "named; the adjoint's is a step of L-BFGS through it, with its line search. "
        "Numbers after triggers are the shares that they were to have, by other "
        "scenes. The solver judges; 95 % bootstrap intervals over scenes, those of the "
        "ratio by pairs; milliseconds of one processor of a busy machine "
        f"({result['machine']}).",
        "",
        *table(
            "| steering | share of ticks with a new plan | leaks | over the open "
            "loop's | energy | ms a tick, median | 99 % | ticks a second |",
            (
                row(
                    name,
                    f"{arm['rate']:.2f}",
                    *intervals(arm, "J", "J over that of the open loop", "energy"),
                    f"{arm['median_ms']:.0f}",
                    f"{arm['p99_ms']:.0f}",
                    f"{arm['ticks_per_second']:.1f}",
                )
                for name, arm in result["arms"].items()
            ),
        ),
    ]
