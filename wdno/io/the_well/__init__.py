"""Files of The Well as datasets on (sample, time, *space), and back."""

from wdno.io.the_well.reading import matches_the_well, open_the_well
from wdno.io.the_well.writing import save_the_well

__all__ = ["matches_the_well", "open_the_well", "save_the_well"]
