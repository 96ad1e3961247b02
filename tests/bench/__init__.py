"""Figures with their ratios: the product beside baselines taken in the same run on the same machine (`make bench`)."""
