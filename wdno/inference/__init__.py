"""Verbs on trained models: roll out arrays, simulate and refine labelled data."""
