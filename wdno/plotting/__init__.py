"""Pictures of trajectories, errors, models and training, from labelled arrays.

Pictures are `matplotlib.figure.Figure` objects and touch no global state: no display is
needed and several threads can draw. `save` writes them; `animate` and `film` write
films.
"""

from wdno.plotting.animation import animate, film
from wdno.plotting.diagnosis import diagnosis
from wdno.plotting.figures import error_over_time, space_time, training_curve
from wdno.plotting.learning import learning_curve
from wdno.plotting.maps import Landmark, film_maps, maps
from wdno.plotting.snapshots import profiles
from wdno.plotting.style import save

__all__ = [
    "Landmark",
    "animate",
    "diagnosis",
    "error_over_time",
    "film",
    "film_maps",
    "learning_curve",
    "maps",
    "profiles",
    "save",
    "space_time",
    "training_curve",
]
