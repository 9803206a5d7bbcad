"""Models beyond Python and this machine: exported programs, a service.

`exporting` compiles a model into a portable program, `artefact` is the file that it
travels in, `exported` runs it without networks or solvers. `batching` answers requests
that come at the same time together, and `service` does so over HTTP. `hub_page` writes
a model as the Hugging Face Hub shows it.
"""
