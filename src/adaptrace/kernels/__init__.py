"""Numbers only: the loops that Numba compiles, and the steps they are made of."""
