"""Control: objectives and constraints, planners, closed loops, the adjoint rival."""
