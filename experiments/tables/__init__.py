"""Tables of the docs by theme: what each module has is lines of Markdown."""
