"""The operator: fields to generate given fields, as coefficients, by a denoiser.

`model` has `WDNO`, its loss and one window of generation; `tasks` says what is found
given what; `residual` and `interpolation` say what is generated in place of whole
fields where much is known; `checkpoint` reads and writes models.
"""
