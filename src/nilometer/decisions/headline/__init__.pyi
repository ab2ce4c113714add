from .basis import Basis as Basis, basis_of as basis_of, headline_rows as headline_rows
from .headline import (
    Headline as Headline,
    current_headline as current_headline,
    headline_estimates as headline_estimates,
)
from .overall import (
    ALL_TRAFFIC as ALL_TRAFFIC,
    TrafficPart as TrafficPart,
    add_parts as add_parts,
    overall_accuracy as overall_accuracy,
)
