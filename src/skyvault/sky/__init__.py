"""The sky: regions and their text, exact predicates, HEALPix cells and covers, frames, matching."""
