"""Science on arrays: periods, folding, binning, events, time axes, moving objects, sources, astrometry, light curves.

Arrays in, frozen results out: nothing here reads a file or asks a service.
"""
