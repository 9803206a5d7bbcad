"""Public files that the readers of this package open, fetched and checked.

`public_files` lists them, `plan` says what would be fetched, `download` fetches it.
They need requests (the extra "download").
"""

from wdno.io.download.fetching import Planned, download, plan
from wdno.io.download.public import PublicFile, public_files

__all__ = ["Planned", "PublicFile", "download", "plan", "public_files"]
