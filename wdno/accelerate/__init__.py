"""Fewer denoiser calls, or fewer in a row: planning and simulation that go on.

`stream_batch` has several windows in flight, each at its own noise level, and
`block_queue` the blocks of one record without end; `pipeline` has their layers on
several devices. `region_adaptive` makes samplers whose steps evaluate some tokens of a
transformer only. `event_trigger` makes new plans only where the running one has not
foreseen what is observed; `latest` has a planner in a thread of its own, and `steering`
gives a command at every tick whatever that planner does.
"""
